// The faults of a chaos run. Each does its harm to a healthy cluster, undoes it, and says what it did; the
// driver waits for health between two faults, so that never more is lost than the cluster promises to bear.
// Times are those of the cluster's settings: lease 2 s, grace 2.5 s. Page: docs/testing.md, "Chaos".

import type { Prng } from "../../src/base/prng.ts";
import { formatPartition } from "../../src/base/ids.ts";
import { type ChaosCluster, CLIENT, PARTITIONS } from "./cluster.ts";
import { askStalePrimary } from "./stale_primary.ts";
import type { Workload } from "./workload.ts";

/** What a fault works with. */
export interface FaultContext {
  readonly cluster: ChaosCluster;
  readonly workload: Workload;
  readonly chance: Prng;
}

/** One kind of harm. @returns What was done, in words. */
export type Fault = (context: FaultContext) => Promise<string>;

/** Below the lease, between lease and grace, beyond the grace, beyond the grace and a takeover. */
const PAUSES_MS = {
  "pause-short": 1000,
  "pause-lease": 2200,
  "pause-grace": 3500,
  "pause-long": 8000,
};
const CUT_MS = 5000;

/** All faults by name, in the order of a full round. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  kill,
  ...Object.fromEntries(
    Object.entries(PAUSES_MS).map(([name, ms]) => [name, (context) => pause(context, ms)]),
  ) as Record<keyof typeof PAUSES_MS, Fault>,
  "stale-primary": ({ cluster, workload, chance }) =>
    askStalePrimary(cluster, workload, chance.below(PARTITIONS)),
  isolate: (context) => cutFrom(context, (name) => context.cluster.othersOf(name)),
  "cut-meta": (context) => cutFrom(context, () => ["m1"]),
  "cut-peer": (context) => cutFrom(context, (_name, peer) => [peer]),
  "cut-client": (context) => cutFrom(context, () => [CLIENT]),
  "one-way": oneWay,
  slow,
  "half-open": (context) => breakConnections(context, "halfOpen"),
  reset: (context) => breakConnections(context, "reset"),
  "kill-meta": killMeta,
  "pause-meta": pauseMeta,
  corrupt,
  "lost-replica": lostReplica,
  rolling,
  "kill-all": killAll,
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

async function cutFrom(
  context: FaultContext,
  others: (name: string, peer: string) => readonly string[],
): Promise<string> {
  const { network } = context.cluster;
  const { primary: name, secondary } = await groupOf(context);
  const far = others(name, secondary);
  for (const other of far) network.cut(name, other);
  await sleep(CUT_MS);
  network.heal();
  return `${name} from ${far.join(", ")} for ${CUT_MS} ms`;
}

async function oneWay(context: FaultContext): Promise<string> {
  const { network } = context.cluster;
  const { primary: name, secondary } = await groupOf(context);
  const other = context.chance.chance(0.5) ? "m1" : secondary;
  const [from, to] = context.chance.chance(0.5) ? [name, other] : [other, name];
  network.hold(from, to);
  await sleep(CUT_MS);
  network.heal();
  return `${from} to ${to} for ${CUT_MS} ms`;
}

async function slow(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const name = await victim(context);
  const delayMs = 20 + chance.below(150);
  for (const other of cluster.othersOf(name)) {
    cluster.network.slow(name, other, delayMs);
    cluster.network.slow(other, name, delayMs);
  }
  await sleep(CUT_MS);
  cluster.network.heal();
  return `${name}, ${delayMs} ms each way for ${CUT_MS} ms`;
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
  await sleep(CUT_MS);
  return `${count} connections of ${name}`;
}

async function killMeta({ cluster }: FaultContext): Promise<string> {
  await cluster.kill("m1");
  await sleep(1000);
  await cluster.start("m1");
  return "m1, down for 1000 ms";
}

async function pauseMeta({ cluster }: FaultContext): Promise<string> {
  cluster.pause("m1");
  try {
    await sleep(4000);
  } finally {
    cluster.resume("m1");
  }
  return "m1 for 4000 ms";
}

/** Flips bytes in one file of a killed server: a log, a table, a manifest. */
async function corrupt(context: FaultContext): Promise<string> {
  const { cluster, chance } = context;
  const name = await victim(context);
  await cluster.kill(name);
  const dir = cluster.dataDirOf(name);
  const files = filesBelow(dir).filter((path) => /\/(replicas|shared\.\d+)\//.test(path));
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
  for (const name of cluster.replicas) {
    await cluster.stop(name);
    await cluster.start(name);
    await cluster.waitForHealth();
  }
  return `${cluster.replicas.length} servers, one after the other`;
}

async function killAll({ cluster }: FaultContext): Promise<string> {
  await cluster.killAll();
  await cluster.startAll();
  return "every server at once";
}
