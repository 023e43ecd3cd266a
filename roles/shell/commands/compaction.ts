// Commands that give back the space of deleted rows.

import { formatPartition } from "../../../src/base/ids.ts";
import type { Context } from "../context.ts";
import type { Command } from "../declare.ts";

const POLL_MS = 200;

/** What one server says of the replicas it was asked to compact. */
interface NodeReport {
  readonly node: string;
  readonly lines: string[];
}

/** @returns Lines of the table's replicas on a server. */
async function linesOf(context: Context, node: string, tableId: number): Promise<string[]> {
  const output = await context.admin.remoteCommand(node, "compaction", []);
  const prefix = formatPartition(tableId * 65536).replace(/0$/, "");
  return output.split("\n").filter((line) => line.startsWith(prefix));
}

const manualCompact: Command = {
  name: "manual_compact",
  changes: true,
  group: "tables",
  brief: "Rewrite a table's files on every server to give back the space of deleted rows",
  positionals: [{ name: "table", type: "table", brief: "The table" }],
  flags: [],
  async run(context, args) {
    const name = args.needText("table");
    const { tableId } = await context.admin.tableConfig(name);
    const nodes = (await context.admin.listNodes()).filter((node) => node.alive);
    for (const { node } of nodes) {
      await context.admin.remoteCommand(node, "compact", [String(tableId)]);
    }
    const reports: NodeReport[] = [];
    for (const { node } of nodes) {
      while (!context.signal.aborted) {
        const lines = await linesOf(context, node, tableId);
        const isDone = lines.every((line) => !/ (queued|running)$/.test(line));
        if (isDone) {
          reports.push({ node, lines });
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    const text = reports.flatMap(({ node, lines }) => lines.map((line) => `${node} ${line}`));
    context.answer(reports.map(({ node, lines }) => ({ node, replicas: lines })), text.join("\n"));
  },
};

/** See the file comment. */
export const COMPACTION_COMMANDS: readonly Command[] = [manualCompact];
