// The RPCs of a meta server: what the core answers is handed to it, the rest is answered here.
// See docs/meta.md, "Questions".

import { Err } from "../../src/base/errors.ts";
import { formatPartition } from "../../src/base/ids.ts";
import { META_REQUESTS, type MetaRequest, type MetaRequestName } from "../../src/placement/io.ts";
import type { MetaCore } from "../../src/placement/meta.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { ServerInfo } from "../../src/schema/client_rpc.ts";
import { RemoteCommand } from "../../src/schema/meta_rpc.ts";
import type { AnyRpc } from "../../src/schema/rpc.ts";
import type { MetaDriver } from "./meta_driver.ts";

/** Registers a handler for every RPC of meta. */
export function registerHandlers(
  server: RpcServer,
  driver: MetaDriver,
  about: { readonly version: string; readonly startedAt: number; readonly httpPort: number },
): void {
  for (const name of Object.keys(META_REQUESTS) as MetaRequestName[]) {
    const rpc: AnyRpc = META_REQUESTS[name];
    server.handle(rpc, (body, call) => driver.request({ name, body } as MetaRequest, call));
  }
  server.handle(
    ServerInfo,
    (_request, call) => call.reply({ role: "meta", ...about, shardCount: 0 }),
  );
  registerCommands(server, driver.core);
}

/** Maintenance commands, for `remote_command` of the shell. Each answers with text. */
function registerCommands(server: RpcServer, core: MetaCore): void {
  const commands: Readonly<Record<string, () => string>> = {
    help: () => Object.keys(commands).sort().join("\n"),
    "server-state": () => core.role,
    proposals: () => proposalsOf(core),
  };
  server.handle(RemoteCommand, ({ command }, call) => {
    const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (run !== undefined) return call.reply({ output: run() });
    const known = Object.keys(commands).sort().join(", ");
    call.fail(Err.INVALID_ARGUMENT, `Unknown command "${command}": expected one of ${known}`);
  });
}

/** One line per partition that is on its way somewhere, or cannot go anywhere. */
function proposalsOf(core: MetaCore): string {
  const lines: string[] = [];
  for (const table of core.reign?.cluster.tables.values() ?? []) {
    for (const { partition, actions, inFlight, stuck } of table.partitions) {
      const name = formatPartition(partition);
      if (inFlight !== undefined) lines.push(`${name} storing ${inFlight.change} ${inFlight.node}`);
      else if (actions[0] !== undefined) {
        const { change, node, target, source } = actions[0];
        lines.push(`${name} ${source} asks ${target}: ${change} ${node}`);
      } else if (stuck !== "") lines.push(`${name} stuck: ${stuck}`);
    }
  }
  return lines.join("\n");
}
