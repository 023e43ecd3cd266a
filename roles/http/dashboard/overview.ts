// /meta/overview: the whole cluster in one answer, for the dashboard and for scripts. What is wrong is said
// in words, worst first. Health follows meta's own counts (src/placement/views.ts): a member on a dead server
// is no member. Numbers come from the replica servers (sampler.ts) and are missing where one does not answer.

import { formatPartition, indexOf } from "../../../src/base/ids.ts";
import type { MetaAnswer } from "../../../src/placement/io.ts";
import type { NodeInfo } from "../../../src/schema/meta_rpc.ts";
import type { PartitionConfig, TableInfo } from "../../../src/schema/types.ts";
import type { MetaAsk, MetaReply } from "../../meta/meta_ask.ts";
import { type Problem, problemsOf } from "./problems.ts";
import type { RecentChange } from "./recent_changes.ts";
import { noWork, type Rates, ratesOf } from "./samples.ts";
import type { Point, Sampler, ServerNumbers } from "./sampler.ts";

/** Words of /metrics (`pegasus_meta_partitions`), worst last. */
export type Health = "healthy" | "degraded" | "unwritable" | "unreadable";

/** One partition. */
export interface PartitionView {
  /** "1.3". */
  readonly partition: string;
  readonly index: number;
  readonly ballot: number;
  readonly health: Health;
  /** "" = none. */
  readonly primary: string;
  readonly secondaries: readonly string[];
  /** Servers that learn it now. */
  readonly learners: readonly string[];
}

/** One table. */
export interface TableView {
  readonly id: number;
  readonly name: string;
  readonly maxReplicaCount: number;
  readonly partitions: readonly PartitionView[];
  /** Of all replicas, as of the last checkpoints. */
  readonly bytes: number;
  readonly rates: Rates;
}

/** One replica server. */
export interface NodeView {
  readonly node: string;
  readonly alive: boolean;
  /** Everything moves away from it. */
  readonly draining: boolean;
  readonly replicas: number;
  readonly primaries: number;
  readonly learners: number;
  readonly beaconAgeMs: number;
  readonly httpPort: number;
  /** 0 = not told. */
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  /** `null` = the server did not tell its numbers. */
  readonly numbers: {
    readonly engineBytes: number;
    readonly logBytes: number;
    readonly logFailed: boolean;
    readonly memoryBytes: number;
    readonly cpu: number | null;
    readonly errorsPerSecond: number | null;
  } | null;
}

/** The answer of /meta/overview. */
export interface Overview {
  readonly cluster: string;
  readonly leader: string;
  readonly level: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly problems: readonly Problem[];
  readonly nodes: readonly NodeView[];
  readonly tables: readonly TableView[];
  readonly changes: readonly RecentChange[];
  /** Oldest first; of the table that was asked for, or of all. */
  readonly history: readonly ({ readonly at: number } & Rates)[];
}

/** What the overview is made from. */
export interface OverviewOptions {
  readonly ask: MetaAsk;
  readonly sampler: Sampler;
  readonly changes: () => readonly RecentChange[];
}

type Refused = Pick<MetaReply<"listNodes">, "error" | "detail">;

/** Looks at the cluster. `table` chooses the history, "" = all tables. */
export async function overviewOf(
  { ask, sampler, changes }: OverviewOptions,
  table: string,
): Promise<Overview | Refused> {
  const [info, listed, tables] = await Promise.all([
    ask("clusterInfo", {}),
    ask("listNodes", {}),
    ask("listTables", { status: "available" }),
  ]);
  if (info.answer === undefined) return info;
  if (listed.answer === undefined) return listed;
  if (tables.answer === undefined) return tables;
  sampler.watch();
  const nodes = listed.answer.nodes.toSorted((a, b) => a.node < b.node ? -1 : 1);
  const numbers = new Map<string, ServerNumbers>();
  for (const { node } of nodes) {
    const told = sampler.numbersOf(node);
    if (told !== undefined) numbers.set(node, told);
  }
  const views: TableView[] = [];
  for (const known of tables.answer.tables) {
    // Dropped in between: it is gone from the next answer.
    const { answer } = await ask("queryConfig", { table: known.name, indices: [] });
    if (answer !== undefined) views.push(tableView(known, answer, nodes, numbers, sampler));
  }
  const body = {
    cluster: info.answer.cluster,
    leader: info.answer.primaryMeta,
    level: info.answer.level,
    at: Date.now(),
    nodes: nodes.map((node) => nodeView(node, numbers.get(node.node))),
    tables: views,
    changes: changes(),
    history: historyOf(sampler.points, table),
  };
  return { ...body, problems: problemsOf(body) };
}

function tableView(
  { tableId, name, maxReplicaCount }: TableInfo,
  { partitions }: MetaAnswer<"queryConfig">,
  nodes: readonly NodeInfo[],
  numbers: ReadonlyMap<string, ServerNumbers>,
  sampler: Sampler,
): TableView {
  const alive = new Set(nodes.filter((node) => node.alive).map(({ node }) => node));
  let bytes = 0;
  for (const { sample } of numbers.values()) bytes += sample.engineBytes.get(name) ?? 0;
  return {
    id: tableId,
    name,
    maxReplicaCount,
    partitions: partitions.map((config) => partitionView(config, alive, numbers)),
    bytes,
    rates: sampler.points.at(-1)?.tables.get(name) ?? ratesOf(noWork()),
  };
}

function partitionView(
  config: PartitionConfig,
  alive: ReadonlySet<string>,
  numbers: ReadonlyMap<string, ServerNumbers>,
): PartitionView {
  const partition = formatPartition(config.partition);
  const learners = [...numbers].filter(([, { learning }]) => learning.includes(partition));
  return {
    partition,
    index: indexOf(config.partition),
    ballot: config.ballot,
    health: healthOf(config, alive),
    primary: config.primary,
    secondaries: config.secondaries,
    learners: learners.map(([node]) => node),
  };
}

/** A partition's health while only the servers in `alive` are. */
export function healthOf(
  { primary, secondaries, maxReplicaCount }: PartitionConfig,
  alive: ReadonlySet<string>,
): Health {
  if (!alive.has(primary)) return "unreadable";
  const members = 1 + secondaries.filter((node) => alive.has(node)).length;
  if (members < Math.min(2, maxReplicaCount)) return "unwritable";
  return members < maxReplicaCount ? "degraded" : "healthy";
}

function nodeView(node: NodeInfo, told: ServerNumbers | undefined): NodeView {
  const sum = (name: string) => told?.sample.sums.get(name) ?? 0;
  let engineBytes = 0;
  for (const bytes of told?.sample.engineBytes.values() ?? []) engineBytes += bytes;
  return {
    node: node.node,
    alive: node.alive,
    draining: node.stats?.draining === true,
    replicas: node.replicas,
    primaries: node.primaries,
    learners: told?.learning.length ?? 0,
    beaconAgeMs: node.beaconAgeMs,
    httpPort: node.httpPort,
    diskTotalBytes: node.stats?.diskTotalBytes ?? 0,
    diskFreeBytes: node.stats?.diskFreeBytes ?? 0,
    numbers: told === undefined || !node.alive ? null : {
      engineBytes,
      logBytes: sum("pegasus_log_shared_bytes"),
      logFailed: sum("pegasus_log_failed") > 0,
      memoryBytes: sum("process_resident_memory_bytes"),
      cpu: told.traffic?.cpu ?? null,
      errorsPerSecond: told.traffic?.errors ?? null,
    },
  };
}

function historyOf(points: readonly Point[], table: string): Overview["history"] {
  const nothing = ratesOf(noWork());
  return points.map(({ at, total, tables }) => ({
    at,
    ...(table === "" ? total : tables.get(table) ?? nothing),
  }));
}
