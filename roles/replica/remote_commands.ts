// Maintenance commands of a replica server, for `remote_command` of the shell. Each answers with text. Whichever
// shard is asked, the whole server answers: every shard its part, the control part what it knows.

import { Err, StoreError } from "../../src/base/errors.ts";
import { formatPartition, parsePartition, type PartitionId, tableOf } from "../../src/base/ids.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { RemoteCommand } from "../../src/schema/meta_rpc.ts";
import type { ReplicaReport } from "../../src/schema/types.ts";
import { shardOf } from "../../storage/recover_shard.ts";
import {
  commandList,
  type RemoteCommands,
  runRemote,
  unknownCommand,
  wrong,
} from "../remote_commands.ts";
import type { Compactor } from "./compaction.ts";
import type { DiskMoves } from "./disk_moves.ts";
import { engineCommands } from "./engine_commands.ts";
import type { ReplicaDriver } from "./replica_driver.ts";
import type { ServerDriver } from "./server_driver.ts";
import type { ShardHost } from "./shard_host.ts";
import type { RunRemote } from "./shard_link.ts";

const WHICH = "[TABLE_ID|PARTITION ...]";

/** A shard's part of the commands. */
export function shardCommands(
  host: ShardHost,
  { moves, compactor, shard, shardCount }: {
    readonly moves: DiskMoves;
    readonly compactor: Compactor;
    readonly shard: number;
    readonly shardCount: number;
  },
): RunRemote {
  // What is no partition is refused by the first shard.
  const isOurs = (word = "") => shardOf(parsePartition(word) ?? 0, shardCount) === shard;
  const compaction = {
    brief: "How far every replica is that was asked to compact",
    run: () => compactor.report(),
  };
  const replicas = {
    args: WHICH,
    brief: "Status and decrees of replicas",
    run: (words: readonly string[]) => chosen(host, words).map(lineOf).join("\n"),
  };
  const envs = {
    args: WHICH,
    brief: "Variables of the tables as this server knows them",
    run: (words: readonly string[]) => envsOf(host, words),
  };
  const kill = {
    args: "TABLE_ID|PARTITION ...",
    brief: "Close replicas; meta replaces them",
    run: (words: readonly string[]) => {
      if (words.length === 0) throw wrong("Expected table ids or partitions, as in 1 or 1.3");
      const closed = chosen(host, words);
      for (const driver of closed) driver.finish("An operator closed it", "stays");
      return `${closed.length} replicas closed`;
    },
  };
  const commands: RemoteCommands = {
    compact: {
      args: WHICH,
      brief: "Rewrite engines to give back space",
      run(words) {
        return `${compactor.start(compactable(host, words))} replicas queued`;
      },
    },
    compaction,
    replicas,
    "app-envs": envs,
    "kill-partition": kill,
    "flush-log": {
      brief: "Make the private logs durable now",
      run: () => host.syncLogs().then(() => "OK"),
    },
    "disk-replicas": {
      brief: "In which data directory every replica is, for programs",
      run: () => host.shelf.reports().map(diskLine).join("\n"),
    },
    "disk-migrate": {
      args: "PARTITION DISK",
      brief: "Move a replica to another data directory",
      run: (words) => isOurs(words[0]) ? moves.start(words) : "",
    },
    ...engineCommands((words) => chosen(host, words), host.clock),
    sweeper: {
      brief: "Rows examined and deleted in the search for expired ones",
      run: () => JSON.stringify(host.sweeper.counters),
    },
  };
  const all = withOldNames(commands);
  return (command, words) => runRemote(all, command, words);
}

/** Names of the original, and ours for the same. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  "replica.query-compact": "compaction",
  "replica.query-progress": "replicas",
  "replica.query-app-envs": "app-envs",
  "replica.kill_partition": "kill-partition",
  "replica.trigger-checkpoint": "checkpoint",
};

function withOldNames(commands: RemoteCommands): RemoteCommands {
  const old = Object.entries(OLD_NAMES).map(([name, own]) =>
    [name, { ...commands[own]!, brief: `As ${own}` }] as const
  );
  return { ...commands, ...Object.fromEntries(old) };
}

/** The commands of the whole server: those of the process and of its control part, and those of its shards. */
export function serverCommands(
  shards: readonly RunRemote[],
  control: ServerDriver,
  ofProcess: RemoteCommands = {},
): RunRemote {
  const own: RemoteCommands = {
    ...ofProcess,
    "server-state": {
      brief: "Contact with meta",
      run: () => `${control.state}, meta leader ${control.leader}`,
    },
  };
  return async (command, words) => {
    if (Object.hasOwn(own, command)) return await runRemote(own, command, words);
    if (command !== "help") {
      const names = await namesOf(shards);
      if (!names.includes(command)) throw unknownCommand(command, [...Object.keys(own), ...names]);
    }
    const [first = "", ...others] = await Promise.all(shards.map((run) => run(command, words)));
    if (command === "help") {
      const lines = [...commandList(own).split("\n"), ...first.split("\n")];
      return aligned(lines);
    }
    if (others.length === 0) return first;
    return [first, ...others].flatMap((output, shard) =>
      output.split("\n").filter((line) => line !== "").map((line) => `shard ${shard}: ${line}`)
    ).join("\n");
  };
}

/** Commands that shards know; all of them know the same. */
async function namesOf([first]: readonly RunRemote[]): Promise<string[]> {
  const lines = (await first?.("help", []) ?? "").split("\n");
  return lines.map((line) => line.split(" ")[0]!).filter((name) => name !== "help");
}

/** Lists of commands as one, sorted, each name once. */
function aligned(lines: readonly string[]): string {
  const briefs = new Map(lines.map((line) => {
    const [name = "", ...words] = line.split(/ {2,}/);
    return [name, words.join("  ")] as const;
  }));
  const width = Math.max(...[...briefs.keys()].map((name) => name.length));
  return [...briefs].toSorted(([a], [b]) => a < b ? -1 : 1)
    .map(([name, brief]) => `${name.padEnd(width)}  ${brief}`).join("\n");
}

/** Registers the handler of `remote_command`. */
export function registerCommands(server: RpcServer, run: RunRemote): void {
  server.handle(RemoteCommand, ({ command, args }, call) => {
    run(command, args).then((output) => call.reply({ output }), (error) => {
      const known = error instanceof StoreError;
      call.fail(known ? error.code : Err.INTERNAL, known ? error.detail : String(error));
    });
  });
}

/** For programs: where a replica is, as a line of JSON. */
function diskLine({ partition, status, disk, bytes }: ReplicaReport): string {
  return JSON.stringify({ partition: formatPartition(partition), status, disk, bytes });
}

/** Open replicas by table ids or partitions; none = all. @throws {StoreError} INVALID_ARGUMENT */
function chosen(host: ShardHost, words: readonly string[]): ReplicaDriver[] {
  const names = new Set<PartitionId>();
  const tables = new Set<number>();
  for (const word of words) {
    const partition = parsePartition(word);
    if (partition !== undefined) names.add(partition);
    else if (/^[1-9]\d{0,9}$/.test(word)) tables.add(Number(word));
    else {throw wrong(
        `"${word}" names nothing: expected a table id such as 2, or a partition such as 2.5`,
      );}
  }
  const all = [...host.drivers.values()].toSorted((a, b) => a.partition - b.partition);
  if (words.length === 0) return all;
  return all.filter(({ partition }) => names.has(partition) || tables.has(tableOf(partition)));
}

/** Chosen partitions. @throws {StoreError} If a table that was named must not be compacted */
function compactable(host: ShardHost, words: readonly string[]): PartitionId[] {
  const all = chosen(host, words).map(({ partition }) => partition);
  const forbidden = all.find((partition) => host.tables.forbidsCompaction(tableOf(partition)));
  if (forbidden !== undefined && words.length > 0) {
    const name = host.tables.of(forbidden)?.name;
    throw new StoreError(
      Err.OPERATION_DISABLED,
      `Table "${name}" has manual_compact.disabled=true`,
    );
  }
  return all.filter((partition) => !host.tables.forbidsCompaction(tableOf(partition)));
}

function lineOf({ core }: ReplicaDriver): string {
  const { partition, status, ballot, committed, applied, durable } = core;
  return `${formatPartition(partition)} ${status} ballot ${ballot} committed ${committed} ` +
    `applied ${applied} durable ${durable}`;
}

function envsOf(host: ShardHost, words: readonly string[]): string {
  const tables = new Map(
    chosen(host, words).map(({ partition }) =>
      [tableOf(partition), host.tables.of(partition)] as const
    ),
  );
  return [...tables].map(([tableId, info]) => {
    const pairs = [...info?.envs ?? []].map(([key, value]) => `${key}=${value}`);
    return `${tableId} ${info?.name ?? "unknown"} ${pairs.join(",")}`.trimEnd();
  }).join("\n");
}
