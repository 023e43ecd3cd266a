// Maintenance commands on what replicas have stored: checkpoints, the number of rows, the version of their format.
// Part of remote_commands.ts.

import type { Clock } from "../../src/base/clock.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { formatPartition } from "../../src/base/ids.ts";
import { USER_KEYS_END, USER_KEYS_START } from "../../src/schema/key_format.ts";
import { DATA_VERSION, secondsSince2016 } from "../../src/schema/value_format.ts";
import { EngineError } from "../../storage/engine.ts";
import { estimateRows } from "../../storage/estimate.ts";
import type { RemoteCommands } from "../remote_commands.ts";
import type { ReplicaDriver } from "./replica_driver.ts";

/** What the commands need of a replica. */
export type StoredReplica =
  & Pick<ReplicaDriver, "partition" | "closed" | "engine" | "deliver">
  & { readonly core: Pick<ReplicaDriver["core"], "applied" | "durable"> };

const WHICH = "[TABLE_ID|PARTITION ...]";
/** The asker is answered before it gives up; the work goes on. */
const WAIT_MS = 3000;
const LOOK_MS = 20;

/** @param chosen Open replicas by table ids or partitions; none = all. */
export function engineCommands(
  chosen: (words: readonly string[]) => readonly StoredReplica[],
  clock: Clock,
): RemoteCommands {
  return {
    checkpoint: {
      args: WHICH,
      brief: "Make what replicas have applied durable in their engines now",
      run: (words) => checkpoint(chosen(words)),
    },
    "estimate-rows": {
      args: WHICH,
      brief: "About how many rows replicas have, for programs",
      run: async (words) => {
        const lines: string[] = [];
        const now = secondsSince2016(clock.now().wall);
        for (const replica of chosen(words)) lines.push(await estimateLine(replica, now));
        return lines.join("\n");
      },
    },
    "data-version": {
      args: WHICH,
      brief: "In which format replicas store their rows",
      // A replica of another format is not opened.
      run: (words) =>
        chosen(words).map(({ partition }) => `${formatPartition(partition)} ${DATA_VERSION}`)
          .join("\n"),
    },
  };
}

async function checkpoint(replicas: readonly StoredReplica[]): Promise<string> {
  const wanted = replicas.map((replica) => ({ replica, applied: replica.core.applied }));
  for (const { replica } of wanted) replica.deliver({ kind: "checkpointDue" });
  const isDone = ({ replica, applied }: (typeof wanted)[number]) =>
    replica.core.durable >= applied || replica.closed;
  const until = performance.now() + WAIT_MS;
  while (!wanted.every(isDone) && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return wanted.map((one) => {
    const { partition, core, closed } = one.replica;
    const state = closed ? "is closed" : isDone(one) ? "" : ` of ${one.applied}, goes on`;
    return `${formatPartition(partition)} ${closed ? state : `durable ${core.durable}${state}`}`;
  }).join("\n");
}

async function estimateLine(replica: StoredReplica, nowSeconds: number): Promise<string> {
  const partition = formatPartition(replica.partition);
  const { engine } = replica;
  if (engine === undefined) {
    throw new StoreError(Err.TRY_AGAIN, `The engine of ${partition} is being replaced`);
  }
  try {
    const range = { start: USER_KEYS_START, end: USER_KEYS_END };
    return JSON.stringify({ partition, ...await estimateRows(engine, range, nowSeconds) });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new StoreError(Err.TRY_AGAIN, `${partition} cannot be read: ${error.message}`);
  }
}
