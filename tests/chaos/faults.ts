// The faults of a chaos run. Each does its harm to a healthy cluster, undoes it, and says what it did; the
// driver waits for health between two faults, so that never more is lost than the cluster promises to bear.
// Times follow from the cluster's lease and grace (timing.ts). Page: docs/testing.md, "Chaos".

import type { Prng } from "../../src/base/prng.ts";
import { formatPartition } from "../../src/base/ids.ts";
import { type ChaosCluster, CLIENT, PARTITIONS, STORE } from "./cluster.ts";
import { cutMs, metaPauseMs, PAUSES, takeoverMs, type Timing } from "./timing.ts";
import { askStalePrimary } from "./stale_primary.ts";
import { loseReplicas } from "./lose_replicas.ts";
import { moveClock } from "./move_clock.ts";
import type { Workload } from "./workload.ts";

/** What a fault works with. */
export interface FaultContext {
  readonly cluster: ChaosCluster;
  readonly workload: Workload;
  readonly chance: Prng;
  readonly timing: Timing;
}

/** One kind of harm. */
export interface Fault {
  /** @returns What was done, in words. */
  readonly run: (context: FaultContext) => Promise<string>;
  /** Longest time a write may take to be acknowledged, ms; absent = nothing is promised. */
  readonly writeMsMax?: number | ((timing: Timing) => number);
  /** 99 of 100 writes take no longer, and none fails: a planned change is not noticed. */
  readonly p99MsMax?: number;
  /** What it cannot be done without. */
  readonly needs?: "disks" | "store" | "clocks";
}

const CRASH_MS = 1000;
/** A planned change costs a retry. */
const PLANNED_MS = 500;
/** Beyond the session of a meta server with ZooKeeper, 3 s. */
const STORE_CUT_MS = 6000;

/** All faults by name, in the order of a full round. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  stop: { run: stop, p99MsMax: PLANNED_MS },
  kill: { run: kill, writeMsMax: CRASH_MS },
  "kill-again": { run: killAgain, writeMsMax: 3 * CRASH_MS },
  ...Object.fromEntries(
    Object.entries(PAUSES).map(([name, msOf]) => [name, {
      run: (context: FaultContext) => pause(context, msOf(context.timing)),
      writeMsMax: (timing: Timing) => Math.min(msOf(timing) + CRASH_MS, takeoverMs(timing)),
    }]),
  ),
  "pause-flapping": { run: pauseOften, writeMsMax: takeoverMs },
  "stale-primary": {
    run: ({ cluster, workload, chance }) =>
      askStalePrimary(cluster, workload, chance.below(PARTITIONS)),
    writeMsMax: takeoverMs,
  },
  isolate: {
    run: (context) => cutFrom(context, (name) => context.cluster.othersOf(name)),
    writeMsMax: takeoverMs,
  },
  "cut-meta": {
    run: (context) => cutFrom(context, () => context.cluster.metas),
    writeMsMax: takeoverMs,
  },
  "cut-peer": { run: (context) => cutFrom(context, (_, peer) => [peer]), writeMsMax: takeoverMs },
  // Nobody else may answer: the server is well.
  "cut-client": {
    run: (context) => cutFrom(context, () => [CLIENT]),
    writeMsMax: (timing) => cutMs(timing) + 2 * CRASH_MS,
  },
  "one-way": { run: oneWay, writeMsMax: takeoverMs },
  slow: { run: slow, writeMsMax: takeoverMs },
  "half-open": { run: (context) => breakConnections(context, "halfOpen"), writeMsMax: takeoverMs },
  reset: { run: (context) => breakConnections(context, "reset"), writeMsMax: CRASH_MS },
  "reset-storm": { run: resetStorm, writeMsMax: 4 * CRASH_MS },
  "kill-meta": { run: killMeta, writeMsMax: takeoverMs },
  // Longer than every lease: all servers stop, and go on when it does, or when another meta leads.
  "pause-meta": {
    run: pauseMeta,
    writeMsMax: (timing) => metaPauseMs(timing) + takeoverMs(timing),
  },
  "cut-store": {
    run: cutStore,
    writeMsMax: (timing) => STORE_CUT_MS + takeoverMs(timing),
    needs: "store",
  },
  "disk-full": {
    run: diskFull,
    writeMsMax: (timing) => cutMs(timing) + 4 * CRASH_MS,
    needs: "disks",
  },
  "clock-ahead": {
    run: (context) => setDate(context, 1),
    writeMsMax: takeoverMs,
    needs: "clocks",
  },
  "clock-back": {
    run: (context) => setDate(context, -1),
    writeMsMax: takeoverMs,
    needs: "clocks",
  },
  corrupt: { run: corrupt, writeMsMax: CRASH_MS },
  "lost-replica": { run: lostReplica, writeMsMax: CRASH_MS },
  "lost-replicas": {
    run: async (context) => await loseReplicas(context, await victim(context)),
    writeMsMax: takeoverMs,
  },
  rolling: { run: rolling, p99MsMax: PLANNED_MS },
  "kill-all": { run: killAll },
  "all-at-once": { run: allAtOnce },
};

/** The members of a partition by chance: harm to a server that serves nothing would prove nothing. */
async function groupOf({ cluster, chance }: FaultContext) {
  const configs = await cluster.configs();
  const { partition, primary, secondaries } = configs[chance.below(configs.length)]!;
  const secondary = secondaries[chance.below(secondaries.length)]!;
  return {
    partition,
    primary: cluster.nameOf(primary),
    secondary: cluster.nameOf(secondary),
  };
}

async function victim(context: FaultContext): Promise<string> {
  const { primary, secondary } = await groupOf(context);
  return context.chance.chance(0.7) ? primary : secondary;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function kill(context: FaultContext): Promise<string> {
  const name = await victim(context);
  await context.cluster.kill(name);
  const downMs = context.chance.below(5000);
  await sleep(downMs);
  await context.cluster.start(name);
  return `${name}, down for ${downMs} ms`;
}

/** A planned restart. */
async function stop(context: FaultContext): Promise<string> {
  const name = await victim(context);
  await context.cluster.stop(name);
  await context.cluster.start(name);
  return name;
}

/** Dies once more while it recovers, or learns. */
async function killAgain(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const name = await victim(context);
  await cluster.kill(name);
  await cluster.start(name);
  const upMs = chance.below(700);
  await sleep(upMs);
  await cluster.kill(name);
  await cluster.start(name);
  return `${name} twice, ${upMs} ms after it was up`;
}

async function pause(context: FaultContext, ms: number): Promise<string> {
  const name = await victim(context);
  context.cluster.pause(name);
  try {
    await sleep(ms);
  } finally {
    context.cluster.resume(name);
  }
  return `${name} for ${ms} ms`;
}

/** A server that stands still again and again, as on a machine with too much to do. */
async function pauseOften(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const name = await victim(context);
  for (let i = 0; i < 12; i++) {
    cluster.pause(name);
    try {
      await sleep(50 + chance.below(500));
    } finally {
      cluster.resume(name);
    }
    await sleep(20 + chance.below(200));
  }
  return `${name}, 12 times up to 550 ms`;
}

async function cutFrom(
  context: FaultContext,
  others: (name: string, peer: string) => readonly string[],
): Promise<string> {
  const { network } = context.cluster;
  const { primary: name, secondary } = await groupOf(context);
  const far = others(name, secondary);
  const ms = cutMs(context.timing);
  for (const other of far) network.cut(name, other);
  await sleep(ms);
  network.heal();
  return `${name} from ${far.join(", ")} for ${ms} ms`;
}

async function oneWay(context: FaultContext): Promise<string> {
  const { network } = context.cluster;
  const { primary: name, secondary } = await groupOf(context);
  const other = context.chance.chance(0.5) ? await context.cluster.leader() : secondary;
  const [from, to] = context.chance.chance(0.5) ? [name, other] : [other, name];
  const ms = cutMs(context.timing);
  network.hold(from, to);
  await sleep(ms);
  network.heal();
  return `${from} to ${to} for ${ms} ms`;
}

async function slow(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const name = await victim(context);
  const delayMs = 20 + chance.below(150);
  for (const other of cluster.othersOf(name)) {
    cluster.network.slow(name, other, delayMs);
    cluster.network.slow(other, name, delayMs);
  }
  const ms = cutMs(context.timing);
  await sleep(ms);
  cluster.network.heal();
  return `${name}, ${delayMs} ms each way for ${ms} ms`;
}

async function breakConnections(
  context: FaultContext,
  how: "halfOpen" | "reset",
): Promise<string> {
  const { cluster } = context;
  const name = await victim(context);
  let count = 0;
  for (const other of cluster.othersOf(name)) {
    count += cluster.network[how](name, other) + cluster.network[how](other, name);
  }
  // Whoever holds a dead connection has to find out by itself.
  await sleep(cutMs(context.timing));
  return `${count} connections of ${name}`;
}

/** Connections that do not last: everybody dials again, all the time. */
async function resetStorm(context: FaultContext): Promise<string> {
  const { cluster } = context;
  const name = await victim(context);
  let count = 0;
  for (let i = 0; i < 15; i++) {
    for (const other of cluster.othersOf(name)) {
      count += cluster.network.reset(name, other) + cluster.network.reset(other, name);
    }
    await sleep(200);
  }
  return `${count} connections of ${name} in 3 s`;
}

async function killMeta({ cluster }: FaultContext): Promise<string> {
  const name = await cluster.leader();
  await cluster.kill(name);
  await sleep(1000);
  await cluster.start(name);
  return `${name}, down for 1000 ms`;
}

async function pauseMeta({ cluster, timing }: FaultContext): Promise<string> {
  const name = await cluster.leader();
  const ms = metaPauseMs(timing);
  cluster.pause(name);
  try {
    await sleep(ms);
  } finally {
    cluster.resume(name);
  }
  return `${name} for ${ms} ms`;
}

/** The leader loses its store and nothing else. */
async function cutStore({ cluster }: FaultContext): Promise<string> {
  const name = await cluster.leader();
  cluster.network.cut(name, STORE);
  await sleep(STORE_CUT_MS);
  cluster.network.heal();
  return `${name} from ZooKeeper for ${STORE_CUT_MS} ms`;
}

/** No byte is left on the disks of a group, or of one of its members. */
async function diskFull(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const { primary, secondary } = await groupOf(context);
  const names = chance.chance(0.3)
    ? cluster.replicas
    : chance.chance(0.5)
    ? [primary, secondary]
    : [await victim(context)];
  const ms = cutMs(context.timing);
  try {
    for (const name of names) cluster.disks.get(name)!.fill();
    await sleep(ms);
  } finally {
    for (const name of names) cluster.disks.get(name)!.free();
  }
  return `${names.join(", ")} for ${ms} ms`;
}

/** Somebody sets a server's date, and puts it right again. */
async function setDate(context: FaultContext, direction: 1 | -1): Promise<string> {
  const { cluster, chance, timing } = context;
  const name = chance.chance(0.3) ? await cluster.leader() : await victim(context);
  const hours = direction * (1 + chance.below(24));
  await moveClock(context, cluster.clocks.get(name)!, hours * 3600, timing.leaseMs);
  return `${name} by ${hours} h and back`;
}

/** Flips bytes in one file of a killed server: a log, a table, a manifest. */
async function corrupt(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const name = await victim(context);
  await cluster.kill(name);
  const dir = cluster.dataDirOf(name);
  // What somebody will read: no replicas that were moved aside, no text that LevelDB writes for people.
  const files = filesBelow(dir).filter((path) =>
    /\/(replicas\/\d+\.\d+|shared\.\d+)\//.test(path) && !/\/LOG(\.old)?$/.test(path)
  );
  const path = files[chance.below(files.length)]!;
  const bytes = Deno.readFileSync(path);
  for (let i = 0; i < 8; i++) bytes[chance.below(bytes.length)]! ^= 1 << chance.below(8);
  Deno.writeFileSync(path, bytes);
  await cluster.start(name);
  return `${name}, 8 bits of ${path.slice(dir.length + 1)} (${bytes.length} bytes)`;
}

function filesBelow(dir: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(dir)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) found.push(...filesBelow(path));
    else if (entry.isFile && Deno.statSync(path).size > 0) found.push(path);
  }
  return found.toSorted();
}

/** One replica's directory of a killed server is gone. */
async function lostReplica(context: FaultContext): Promise<string> {
  const { cluster } = context;
  const { partition, primary: name } = await groupOf(context);
  await cluster.kill(name);
  const lost = formatPartition(partition);
  Deno.removeSync(`${cluster.dataDirOf(name)}/replicas/${lost}`, { recursive: true });
  await cluster.start(name);
  return `${name}, replica ${lost}`;
}

async function rolling({ cluster }: FaultContext): Promise<string> {
  for (const name of [...cluster.replicas, ...cluster.metas]) {
    await cluster.stop(name);
    await cluster.start(name);
    await cluster.waitForHealth();
  }
  return `${cluster.replicas.length + cluster.metas.length} servers, one after the other`;
}

async function killAll({ cluster }: FaultContext): Promise<string> {
  await cluster.killAll();
  await cluster.startAll();
  return "every server at once";
}

/** A crash, a crashed meta leader, a full disk, slow links and broken connections, in one second. */
async function allAtOnce(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const { primary, secondary } = await groupOf(context);
  const leader = await cluster.leader();
  const disk = cluster.disks.get(secondary);
  for (const from of cluster.othersOf("")) {
    for (const to of cluster.othersOf(from)) cluster.network.slow(from, to, chance.below(80));
  }
  await cluster.kill(primary);
  disk?.fill();
  await cluster.kill(leader);
  for (const other of cluster.othersOf(secondary)) cluster.network.reset(secondary, other);
  await sleep(1000);
  await cluster.start(leader);
  await sleep(chance.below(3000));
  disk?.free();
  await cluster.start(primary);
  cluster.network.heal();
  return `${primary} and ${leader} killed, ${secondary} reset${disk ? " and full" : ""}, all slow`;
}
