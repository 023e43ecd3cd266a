// What is done to the leading meta server, and how long it takes until another one leads. Each fault undoes
// itself and leaves all servers running. Page: docs/testing.md, "Hand-over".

import { openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { type HandoverCluster, STORE } from "./cluster.ts";
import type { Watch } from "./watch.ts";

/** What a fault works with. */
export interface FaultContext {
  readonly cluster: HandoverCluster;
  readonly watch: Watch;
  /** Session timeout of the meta servers, ms. */
  readonly sessionMs: number;
}

/** How a fault ended. */
export interface FaultOutcome {
  /** What was done, in words. */
  readonly what: string;
  /** Until another meta server led, ms; absent if nobody had to follow. */
  readonly handoverMs?: number;
}

/** One kind of harm. */
export type Fault = (context: FaultContext) => Promise<FaultOutcome>;

const SEEN_MS = 60_000;

/** All faults by name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  kill,
  stop,
  pause,
  cut,
  "cut-with-server": cutWithServer,
  "kill-with-server": killWithServer,
  "store-restart": storeRestart,
  "store-lost": storeLost,
};

/** Nobody may follow later: a session, ZooKeeper's rounding up to ticks, and a busy machine. */
function limitOf({ sessionMs }: FaultContext): number {
  return sessionMs * 3 + 20_000;
}

/** The process dies: no good-bye to the store. */
async function kill(context: FaultContext): Promise<FaultOutcome> {
  const { cluster, watch } = context;
  const name = watch.leader;
  const next = watch.nextReign(limitOf(context));
  await cluster.kill(name);
  const { name: heir, afterMs } = await next;
  await cluster.start(name);
  return { what: `${name} killed, ${heir} leads`, handoverMs: afterMs };
}

/** SIGTERM: the leader resigns. */
async function stop(context: FaultContext): Promise<FaultOutcome> {
  const { cluster, watch } = context;
  const name = watch.leader;
  const next = watch.nextReign(limitOf(context));
  await cluster.stop(name);
  const { name: heir, afterMs } = await next;
  await cluster.start(name);
  return { what: `${name} stopped, ${heir} leads`, handoverMs: afterMs };
}

/** SIGSTOP for longer than the session: it wakes up believing that it leads. */
async function pause(context: FaultContext): Promise<FaultOutcome> {
  const { cluster, watch, sessionMs } = context;
  const name = watch.leader;
  const next = watch.nextReign(limitOf(context));
  cluster.pause(name);
  try {
    const { name: heir, afterMs } = await next;
    await sleep(sessionMs);
    return { what: `${name} paused, ${heir} leads`, handoverMs: afterMs };
  } finally {
    cluster.resume(name);
  }
}

/** The leader loses the store and keeps every replica server. */
async function cut(context: FaultContext): Promise<FaultOutcome> {
  const { cluster, watch, sessionMs } = context;
  const name = watch.leader;
  const next = watch.nextReign(limitOf(context));
  cluster.network.cut(name, STORE);
  try {
    const { name: heir, afterMs } = await next;
    await sleep(sessionMs);
    return { what: `${name} cut from the store, ${heir} leads`, handoverMs: afterMs };
  } finally {
    cluster.network.heal();
  }
}

/**
 * The leader loses the store, and a primary can reach nobody but that leader, and clients: if the leader went
 * on acknowledging its beacons, it would serve beside its successor.
 */
async function cutWithServer(context: FaultContext): Promise<FaultOutcome> {
  const { cluster, watch, sessionMs } = context;
  const name = watch.leader;
  const { network } = cluster;
  const server = cluster.nameOf((await cluster.configs())[0]!.primary);
  const next = watch.nextReign(limitOf(context));
  network.cut(name, STORE);
  const others = [...cluster.metas, ...cluster.replicas].filter((other) =>
    other !== name && other !== server
  );
  for (const other of others) network.cut(server, other);
  try {
    const { name: heir, afterMs } = await next;
    // Until the new leader has given the primary's partitions away, and they were written to for a while.
    const end = performance.now() + limitOf(context);
    while (["", cluster.addressOf(server)].includes((await cluster.configs())[0]!.primary)) {
      if (performance.now() > end) throw new Error(`${server} is still primary for ${heir}`);
      await sleep(100);
    }
    await sleep(sessionMs);
    const what = `${name} cut from the store together with ${server}, ${heir} leads`;
    return { what, handoverMs: afterMs };
  } finally {
    network.heal();
  }
}

/** The leader and a primary die in the same moment. */
async function killWithServer(context: FaultContext): Promise<FaultOutcome> {
  const { cluster, watch } = context;
  const name = watch.leader;
  const server = cluster.nameOf((await cluster.configs())[0]!.primary);
  const next = watch.nextReign(limitOf(context));
  await Promise.all([cluster.kill(name), cluster.kill(server)]);
  const { name: heir, afterMs } = await next;
  await Promise.all([cluster.start(name), cluster.start(server)]);
  return { what: `${name} and ${server} killed, ${heir} leads`, handoverMs: afterMs };
}

/** The store goes away for half a session: nobody has to follow, everything goes on. */
async function storeRestart({ cluster, sessionMs }: FaultContext): Promise<FaultOutcome> {
  await cluster.store.kill();
  const downMs = Math.round(sessionMs / 2);
  await sleep(downMs);
  await cluster.store.start();
  await sleep(sessionMs);
  return { what: `the store killed, started again after ${downMs} ms` };
}

/** Somebody deletes everything meta has stored; an operator has it rebuilt from the replica servers. */
async function storeLost({ cluster, watch }: FaultContext): Promise<FaultOutcome> {
  watch.storeLost(true);
  const client = openCluster({ meta: cluster.metaAddresses, timeoutMs: 10_000 });
  try {
    await cluster.loseState();
    const { admin } = client;
    const nodes = cluster.replicas.map((name) => cluster.addressOf(name));
    const areSeen = async () => {
      const { details } = await admin.clusterInfo();
      return nodes.every((node) => details.get("warning")?.includes(node));
    };
    if (!(await waitFor(() => areSeen().catch(() => false), SEEN_MS))) {
      throw new Error("Meta does not warn of a lost store");
    }
    const start = performance.now();
    const { state, lines } = await admin.recover({ nodes });
    if (state !== "done") throw new Error(`The store is not rebuilt: ${lines.join("; ")}`);
    await cluster.waitForHealth();
    const tookMs = Math.round(performance.now() - start);
    return { what: `the store deleted, rebuilt and healthy ${tookMs} ms after recover` };
  } finally {
    await client.close();
    watch.storeLost(false);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
