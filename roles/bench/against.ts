// The peer of a comparison: another store on this machine, or another table or cluster of this one, that runs the
// same workload in turns. Processes that were started for it end with the comparison.

import { unlessStopped } from "./end_signals.ts";
import type { BenchOptions } from "./flags.ts";
import { openPegasus } from "./open_pegasus.ts";
import { otherTable } from "./other_table.ts";
import { startEtcd } from "./peers/etcd_servers.ts";
import { EtcdTarget } from "./peers/etcd_target.ts";
import type { PeerProcesses } from "./peers/processes.ts";
import { type PeerSetup, startRedis } from "./peers/redis_servers.ts";
import { RedisTarget } from "./peers/redis_target.ts";
import type { RowLayout } from "./row_layout.ts";
import { isWriting, type Target, type Workload } from "./workload.ts";

/** A peer that is ready. */
export interface Peer {
  readonly target: Target;
  /** What runs, for people and results. */
  readonly description: string;
  /** It was started for this run, and holds nothing. */
  readonly isEmpty: boolean;
  close(): Promise<void>;
}

/**
 * Starts the store asked for, or connects to it.
 *
 * @throws {Error} If it is not installed or does not answer, or `signal` fires before it is ready: nothing runs then.
 */
export function openPeer(
  options: BenchOptions,
  workload: Workload,
  layout: RowLayout,
  signal: AbortSignal,
): Promise<Peer> {
  return options.against === "pegasus"
    ? openOther(options, layout, signal)
    : openStore(options, workload, layout, signal);
}

async function openOther(
  options: BenchOptions,
  layout: RowLayout,
  signal: AbortSignal,
): Promise<Peer> {
  const place = otherTable(options);
  if (typeof place === "string") throw new Error(place);
  const target = await unlessStopped(openPegasus(place, options, layout), signal);
  const at = options.againstAddress === "" ? "" : ` at ${options.againstAddress}`;
  const description = `pegasus${at}, table "${place.table}"`;
  return { target, description, isEmpty: false, close: () => target.close() };
}

async function openStore(
  options: BenchOptions,
  workload: Workload,
  layout: RowLayout,
  signal: AbortSignal,
): Promise<Peer> {
  const { against, againstAddress } = options;
  const setup = setupOf(options, workload);
  const isEmpty = againstAddress === "";
  const servers = isEmpty
    ? await (against === "redis" ? startRedis : startEtcd)(setup, signal)
    : running(against, againstAddress);
  const isShared = options.againstConnections === "shared";
  const replicas = setup === "replicated" ? 2 : 0;
  try {
    const redis = { replicas, isShared };
    const target = against === "redis"
      ? await unlessStopped(RedisTarget.open(servers.addresses[0]!, redis, layout), signal)
      : new EtcdTarget(servers.addresses, layout);
    const close = async () => {
      await target.close();
      await servers.stop();
    };
    const how = against === "redis" && !isShared ? ", a connection per operation" : "";
    return { target, description: servers.description + how, isEmpty, close };
  } catch (error) {
    await servers.stop();
    throw error;
  }
}

function setupOf({ against, againstSetup }: BenchOptions, workload: Workload): PeerSetup {
  if (againstSetup !== "auto") return againstSetup;
  // A single Redis in memory is the fastest reader there is; a write has to be as safe as ours. etcd reads from
  // its quorum, so its group is the fair one for both.
  return against === "redis" && !isWriting(workload) ? "single" : "replicated";
}

function running(store: string, addresses: string): PeerProcesses {
  return {
    addresses: addresses.split(",").map((address) => address.trim()),
    description: `${store} at ${addresses}`,
    stop: () => Promise.resolve(),
  };
}
