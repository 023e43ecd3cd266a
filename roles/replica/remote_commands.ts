// Maintenance commands of a replica server, for `remote_command` of the shell. Each answers with text. Whichever
// shard is asked, the whole server answers: every shard its part, the control part what it knows.

import { Err, StoreError } from "../../src/base/errors.ts";
import { formatPartition } from "../../src/base/ids.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { RemoteCommand } from "../../src/schema/meta_rpc.ts";
import { Compactor } from "./compaction.ts";
import type { ServerDriver } from "./server_driver.ts";
import type { ShardHost } from "./shard_host.ts";
import type { RunRemote } from "./shard_link.ts";

/** Commands of the control part. */
const STATE = "server-state";
const HELP = "help";

/** A shard's part of the commands. */
export function shardCommands(host: ShardHost): RunRemote {
  const compactor = new Compactor(host.drivers, host.logger);
  const commands: Readonly<Record<string, (words: readonly string[]) => string>> = {
    compact(words) {
      const queued = compactor.start(words);
      if (typeof queued === "string") throw new StoreError(Err.INVALID_ARGUMENT, queued);
      return `${queued} replicas queued`;
    },
    compaction: () => compactor.report(),
    [HELP]: () => names().join("\n"),
    replicas: () => replicasOf(host),
    sweeper: () => JSON.stringify(host.sweeper.counters),
  };
  const names = () => [...Object.keys(commands), STATE].toSorted();
  return (command, words) => {
    const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (run !== undefined) return new Promise((resolve) => resolve(run(words)));
    const detail = `Unknown command "${command}": expected one of ${names().join(", ")}`;
    return Promise.reject(new StoreError(Err.INVALID_ARGUMENT, detail));
  };
}

/** The commands of the whole server, from those of its shards. */
export function serverCommands(shards: readonly RunRemote[], control: ServerDriver): RunRemote {
  return async (command, words) => {
    if (command === STATE) return `${control.state}, meta leader ${control.leader}`;
    const [first = "", ...others] = await Promise.all(shards.map((run) => run(command, words)));
    if (others.length === 0 || command === HELP) return first;
    return [first, ...others].flatMap((output, shard) =>
      output.split("\n").filter((line) => line !== "").map((line) => `shard ${shard}: ${line}`)
    ).join("\n");
  };
}

/** Registers the handler of `remote_command`. */
export function registerCommands(server: RpcServer, run: RunRemote): void {
  server.handle(RemoteCommand, ({ command, args }, call) => {
    run(command, args).then((output) => call.reply({ output }), (error) => {
      const known = error instanceof StoreError;
      call.fail(known ? error.code : Err.INTERNAL, known ? error.message : String(error));
    });
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
