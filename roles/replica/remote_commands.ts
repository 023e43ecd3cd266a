// Maintenance commands of a replica server, for `remote_command` of the shell. Each answers with text.

import { Err, StoreError } from "../../src/base/errors.ts";
import { formatPartition } from "../../src/base/ids.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { RemoteCommand } from "../../src/schema/meta_rpc.ts";
import { Compactor } from "./compaction.ts";
import type { ServerDriver } from "./server_driver.ts";
import type { ShardHost } from "./shard_host.ts";

/** Registers the handler of `remote_command`. */
export function registerCommands(server: RpcServer, host: ShardHost, control: ServerDriver): void {
  const compactor = new Compactor(host.drivers, host.logger);
  const commands: Readonly<Record<string, (words: readonly string[]) => string>> = {
    compact(words) {
      const queued = compactor.start(words);
      if (typeof queued === "string") throw new StoreError(Err.INVALID_ARGUMENT, queued);
      return `${queued} replicas queued`;
    },
    compaction: () => compactor.report(),
    help: () => Object.keys(commands).toSorted().join("\n"),
    replicas: () => replicasOf(host),
    sweeper: () => JSON.stringify(host.sweeper.counters),
    "server-state": () => `${control.state}, meta leader ${control.leader}`,
  };
  server.handle(RemoteCommand, ({ command, args }, call) => {
    const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (run !== undefined) {
      try {
        return call.reply({ output: run(args) });
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        return call.fail(error.code, error.message);
      }
    }
    const known = Object.keys(commands).toSorted().join(", ");
    call.fail(Err.INVALID_ARGUMENT, `Unknown command "${command}": expected one of ${known}`);
  });
}

function replicasOf(host: ShardHost): string {
  const lines: string[] = [];
  for (const { core } of host.drivers.values()) {
    const { partition, status, ballot, committed, applied, durable } = core;
    lines.push(
      `${formatPartition(partition)} ${status} ballot ${ballot} committed ${committed} ` +
        `applied ${applied} durable ${durable}`,
    );
  }
  return lines.join("\n");
}
