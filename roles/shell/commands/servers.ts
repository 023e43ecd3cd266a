// Questions to every server of the cluster at once. A server that does not answer is a row of the answer, not
// the end of it: such questions are asked when something is wrong.

import { StoreError } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import type { Command } from "../declare.ts";
import type { Json } from "../render.ts";

const HEAD = ["address", "role", "version", "started", "shards", "http_port", "error"];

const serverInfo: Command = {
  name: "server_info",
  group: "cluster",
  brief: "Print version and start of every server, or of some",
  positionals: [],
  flags: [
    {
      name: "type",
      short: "t",
      type: "text",
      brief: "Only servers of this kind",
      choices: ["all", "meta-server", "replica-server"],
      default: "all",
    },
    { name: "list", short: "l", type: "text", brief: "Only these, host:port with commas between" },
  ],
  async run(context, args) {
    const type = args.text("type") ?? "all";
    const list = args.text("list")?.split(",").map((address) => address.trim());
    const addresses = list ?? await addressesOf(context, type);
    const rows = await Promise.all(addresses.map((address) => rowOf(context, address)));
    const shown = rows.filter(([, role]) => type === "all" || role === "" || type.startsWith(role));
    context.answerTable(HEAD, shown);
    const silent = shown.filter((row) => row.at(-1) !== "").length;
    context.isNegative = silent > 0;
    context.note(`${shown.length} servers, ${silent} without an answer`);
  },
};

async function addressesOf({ admin }: Context, type: string): Promise<string[]> {
  const metas = type === "replica-server" ? [] : (await admin.clusterInfo()).metaServers;
  const nodes = type === "meta-server" ? [] : await admin.listNodes();
  return [...metas, ...nodes.map(({ node }) => node).sort()];
}

type Row = [address: string, role: string, ...rest: Json[]];

async function rowOf({ admin }: Context, address: string): Promise<Row> {
  try {
    const { role, version, startedAt, shardCount, httpPort } = await admin.serverInfo(address);
    const started = new Date(startedAt).toISOString();
    return [address, role, version, started, shardCount, httpPort, ""];
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [address, "", "", "", "", "", error.message];
  }
}

/** See the file comment. */
export const SERVER_COMMANDS: readonly Command[] = [serverInfo];
