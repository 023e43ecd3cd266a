// /meta/overview: the whole cluster in one answer, for the dashboard and for scripts. What is wrong is said
// in words, worst first. Health follows meta's own counts (src/placement/views.ts): a member on a dead server
// is no member. Numbers come from the replica servers (meta/collector.ts) and are missing where one does not answer.

import { Err } from "../../../src/base/errors.ts";
import { formatPartition, indexOf } from "../../../src/base/ids.ts";
import type { MetaAnswer } from "../../../src/placement/io.ts";
import type { NodeInfo } from "../../../src/schema/meta_rpc.ts";
import { minMembers } from "../../../src/schema/partition_config.ts";
import type { PartitionConfig, TableInfo } from "../../../src/schema/types.ts";
import type { MetaAsk, MetaReply } from "../../meta/meta_ask.ts";
import { type Problem, problemsOf } from "./problems.ts";
import type { RecentChange } from "./recent_changes.ts";
import {
  type LoadPoint,
  noRequests,
  type RequestRates,
  type ServerNumbers,
} from "../../meta/load_history.ts";
import type { AvailabilityShares } from "../../meta/prober.ts";
import type { HotspotRow, WatchedLoad } from "../../meta/watching.ts";

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
  /** Requests per second; `null` = not known. */
  readonly readsPerSecond: number | null;
  readonly writesPerSecond: number | null;
}

/** One table. */
export interface TableView {
  readonly id: number;
  readonly name: string;
  readonly maxReplicaCount: number;
  readonly partitions: readonly PartitionView[];
  /** Of all replicas, as of the last checkpoints. */
  readonly bytes: number;
  readonly rates: RequestRates;
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
  /** Data directories that are not in order, in words. */
  readonly badDisks: readonly string[];
  /** `null` = the server did not tell its numbers. */
  readonly numbers: ServerNumbers | null;
}

/** The answer of /meta/overview. */
export interface Overview {
  readonly cluster: string;
  readonly leader: string;
  readonly level: string;
  /** What meta says an operator must act on; "" = nothing. */
  readonly warning: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly problems: readonly Problem[];
  readonly nodes: readonly NodeView[];
  readonly tables: readonly TableView[];
  readonly changes: readonly RecentChange[];
  /** Oldest first; of the table that was asked for, or of all. */
  readonly history: readonly ({ readonly at: number } & RequestRates)[];
  readonly balance: {
    readonly running: boolean;
    /** Why nothing can move now; "" = it can. */
    readonly waitsFor: string;
    readonly moving: number;
    readonly next: readonly {
      readonly partition: string;
      readonly kind: string;
      readonly from: string;
      readonly to: string;
    }[];
  };
  readonly hotspots: readonly HotspotRow[];
  readonly availability: AvailabilityShares;
}

/** What the overview is made from. */
export interface OverviewOptions {
  readonly ask: MetaAsk;
  readonly watching: WatchedLoad;
  readonly changes: () => readonly RecentChange[];
}

type Refused = Pick<MetaReply<"listNodes">, "error" | "detail">;

/** Looks at the cluster. `table` chooses the history, "" = all tables. */
export async function overviewOf(
  { ask, watching, changes }: OverviewOptions,
  table: string,
): Promise<Overview | Refused> {
  const [info, listed, tables, balance] = await Promise.all([
    ask("clusterInfo", {}),
    ask("listNodes", {}),
    ask("listTables", { status: "available" }),
    ask("balance", { action: "status" }),
  ]);
  if (info.answer === undefined) return info;
  if (listed.answer === undefined) return listed;
  // A leader whose store is lost knows no tables, and says why.
  const isLost = tables.error === Err.UNDER_RECOVERY;
  if (tables.answer === undefined && !isLost) return tables;
  watching.watch();
  const nodes = listed.answer.nodes.toSorted((a, b) => a.node < b.node ? -1 : 1);
  const views: TableView[] = [];
  for (const known of tables.answer?.tables ?? []) {
    // Dropped in between: it is gone from the next answer.
    const { answer } = await ask("queryConfig", { table: known.name, indices: [] });
    if (answer !== undefined) views.push(tableView(known, answer, nodes, watching));
  }
  const body = {
    cluster: info.answer.cluster,
    leader: info.answer.primaryMeta,
    level: info.answer.level,
    warning: info.answer.details.get("warning") ?? "",
    at: Date.now(),
    nodes: nodes.map((node) => nodeView(node, watching)),
    tables: views,
    changes: changes(),
    history: historyOf(watching.points, views.find(({ name }) => name === table)?.id, table),
    balance: balanceView(balance.answer),
    hotspots: await watching.hotspots(),
    availability: watching.availability,
  };
  return { ...body, problems: problemsOf(body) };
}

function tableView(
  { tableId, name, maxReplicaCount }: TableInfo,
  { partitions }: MetaAnswer<"queryConfig">,
  nodes: readonly NodeInfo[],
  watching: WatchedLoad,
): TableView {
  const alive = new Set(nodes.filter((node) => node.alive).map(({ node }) => node));
  const learning = new Map(
    [...alive].map((node) => [node, watching.numbersOf(node)?.learning ?? []] as const),
  );
  return {
    id: tableId,
    name,
    maxReplicaCount,
    partitions: partitions.map((config) => partitionView(config, alive, learning, watching)),
    bytes: watching.bytesOf(tableId),
    rates: watching.points.at(-1)?.tables.get(tableId) ?? noRequests(),
  };
}

function partitionView(
  config: PartitionConfig,
  alive: ReadonlySet<string>,
  learning: ReadonlyMap<string, readonly string[]>,
  watching: WatchedLoad,
): PartitionView {
  const partition = formatPartition(config.partition);
  const learners = [...learning].filter(([, own]) => own.includes(partition));
  const rates = watching.rateOf(config.partition);
  return {
    partition,
    index: indexOf(config.partition),
    ballot: config.ballot,
    health: healthOf(config, alive),
    primary: config.primary,
    secondaries: config.secondaries,
    learners: learners.map(([node]) => node),
    readsPerSecond: rates?.read ?? null,
    writesPerSecond: rates?.write ?? null,
  };
}

/** A partition's health while only the servers in `alive` are. */
export function healthOf(
  { primary, secondaries, maxReplicaCount }: PartitionConfig,
  alive: ReadonlySet<string>,
): Health {
  if (!alive.has(primary)) return "unreadable";
  const members = 1 + secondaries.filter((node) => alive.has(node)).length;
  if (members < minMembers(maxReplicaCount)) return "unwritable";
  return members < maxReplicaCount ? "degraded" : "healthy";
}

function nodeView(info: NodeInfo, watching: WatchedLoad): NodeView {
  const { node, alive, stats } = info;
  const told = alive ? watching.numbersOf(node) : undefined;
  const ill = stats?.disks.filter(({ state }) => state !== "good") ?? [];
  return {
    node,
    alive,
    draining: stats?.draining === true,
    replicas: info.replicas,
    primaries: info.primaries,
    learners: told?.learning.length ?? 0,
    beaconAgeMs: info.beaconAgeMs,
    httpPort: info.httpPort,
    diskTotalBytes: stats?.diskTotalBytes ?? 0,
    diskFreeBytes: stats?.diskFreeBytes ?? 0,
    badDisks: ill.map(({ tag, state, reason }) => {
      return state === "bad"
        ? `${tag} is not used: ${reason}`
        : `${tag} has no room for new replicas`;
    }),
    numbers: told ?? null,
  };
}

function balanceView(answer: MetaAnswer<"balance"> | undefined): Overview["balance"] {
  if (answer === undefined) return { running: false, waitsFor: "", moving: 0, next: [] };
  const { running, waitsFor, moving, next } = answer;
  const moves = next.map(({ partition, kind, from, to }) => ({
    partition: formatPartition(partition),
    ...{ kind, from, to },
  }));
  return { running, waitsFor, moving, next: moves };
}

/** @param table "" = all tables together. */
function historyOf(
  points: readonly LoadPoint[],
  tableId: number | undefined,
  table: string,
): Overview["history"] {
  const nothing = noRequests();
  return points.map(({ at, total, tables }) => ({
    at,
    ...(table === "" ? total : tables.get(tableId ?? 0) ?? nothing),
  }));
}
