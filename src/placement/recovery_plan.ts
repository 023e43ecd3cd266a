// What a lost store held, rebuilt from what replica servers hold. Pure. Invariants: nothing is planned while a
// server may still serve or its answer is missing without the operator's word; a rebuilt configuration has no
// members, and a ballot above all that anybody can have seen; who leads again is then decided by the rule for
// partitions that lost every member. Rules and reasons: docs/meta.md, "Recovery".

import {
  type Ballot,
  formatPartition,
  NOBODY,
  type NodeId,
  type PartitionId,
  partitionId,
  type TableId,
} from "../base/ids.ts";
import type { PartitionConfig, ReplicaReport, TableInfo } from "../schema/types.ts";
import { emptyConfig, LAST_DROPS_MAX } from "./config_change.ts";
import type { Stock } from "./io.ts";
import { nameProblem } from "./names.ts";

/** Only the lost store, or a server that is gone, may have known later ballots: they must stay unused. */
const BALLOT_STEP = 1000;
/** The same for numbers of tables. */
const TABLE_STEP = 100;

/** What a plan is made from. */
export interface RecoveryInput {
  readonly answers: ReadonlyMap<NodeId, Stock>;
  /** Servers that were asked in vain, and why. */
  readonly failures: ReadonlyMap<NodeId, string>;
  /** Identities of the empty store: servers that know one of them came to it since. */
  readonly own: ReadonlySet<string>;
  readonly skipBadNodes: boolean;
  readonly skipLostPartitions: boolean;
  /** Unix seconds. */
  readonly now: number;
}

/** A table as it will be stored. */
export interface RecoveredTable {
  info: TableInfo;
  readonly configs: readonly PartitionConfig[];
}

/** What is to be stored. Only a plan without problems may be carried out. */
export interface RecoveryPlan {
  /** Identity that the servers know; "" = they know none. */
  readonly store: string;
  readonly tables: readonly Readonly<RecoveredTable>[];
  readonly problems: readonly string[];
  /** For the operator: what was found, and what was decided where there was a choice. */
  readonly lines: readonly string[];
}

/** See the file comment. */
export function planRecovery(input: RecoveryInput): RecoveryPlan {
  const { answers, failures, own, skipBadNodes } = input;
  const problems: string[] = [];
  const lines: string[] = [];
  for (const [node, reason] of failures) {
    if (skipBadNodes) lines.push(`${node} does not answer and is left out: ${reason}`);
    else problems.push(`${node} does not answer (${reason}): start it, or skip bad nodes`);
  }
  for (const [node, { isServing, store }] of answers) {
    // Whoever came to this store has its lease from its leader, and nothing of the lost tables.
    if (!isServing || own.has(store)) continue;
    problems.push(`${node} still holds a lease: another meta server leads it`);
  }
  const store = oneStore(input, problems);
  const tables: RecoveredTable[] = mergeTables(answers, problems).map((info) => {
    const found = rebuildPartitions(info, answers, input);
    problems.push(...found.problems);
    lines.push(...found.lines);
    return { info, configs: found.configs };
  });
  if (tables.length === 0) problems.push("No server holds a replica: there is nothing to rebuild");
  renameClashes(tables, lines);
  for (const { info, configs } of tables) {
    lines.push(
      `Table ${info.tableId} "${info.name}", ${info.status}: ${configs.length} partitions`,
    );
  }
  if (tables.length > 0) tables.push(numberHolder(tables.at(-1)!.info.tableId, input.now));
  return { store, tables, problems, lines };
}

function oneStore({ answers, own }: RecoveryInput, problems: string[]): string {
  const byStore = new Map<string, NodeId[]>();
  for (const [node, { store }] of answers) {
    if (store !== "" && !own.has(store)) byStore.set(store, [...byStore.get(store) ?? [], node]);
  }
  if (byStore.size > 1) {
    const text = [...byStore].map(([store, nodes]) => `${store}: ${nodes.join(", ")}`).join("; ");
    problems.push(`The servers hold data of different stores; name the servers of one (${text})`);
  }
  return [...byStore.keys()][0] ?? "";
}

/** The newest description of each table, by number. */
function mergeTables(answers: ReadonlyMap<NodeId, Stock>, problems: string[]): TableInfo[] {
  const newest = new Map<TableId, { readonly info: TableInfo; readonly node: NodeId }>();
  for (const [node, { tables }] of answers) {
    for (const info of tables) {
      const known = newest.get(info.tableId);
      // A description without a creation time was put together from a replica's directory alone.
      const differs = known !== undefined && (known.info.partitionCount !== info.partitionCount ||
        (known.info.createdAt !== info.createdAt && known.info.createdAt * info.createdAt > 0));
      if (differs) {
        problems.push(
          `Table ${info.tableId} has ${info.partitionCount} partitions on ${node} and ` +
            `${known.info.partitionCount} on ${known.node}, or was created twice; leave one of them out`,
        );
      }
      if (known === undefined || isNewer(info, known.info)) {
        newest.set(info.tableId, { info, node });
      }
    }
  }
  return [...newest.values()].map(({ info }) => settled(info)).sort((a, b) =>
    a.tableId - b.tableId
  );
}

function isNewer(a: TableInfo, b: TableInfo): boolean {
  return a.revision > b.revision || (a.revision === b.revision && a.createdAt > b.createdAt);
}

/** Servers hear of a table that is being made before it is ready; its partitions are there now, or empty. */
function settled(info: TableInfo): TableInfo {
  const isWaiting = info.status === "creating" || info.status === "recalling";
  const name = nameProblem(info.name) === undefined ? info.name : `table_${info.tableId}`;
  return { ...info, name, status: isWaiting ? "available" : info.status };
}

/** Of two living tables with one name the older one gets another. */
function renameClashes(tables: { info: TableInfo }[], lines: string[]): void {
  const taken = new Set<string>();
  for (const entry of tables.toReversed()) {
    const { info } = entry;
    if (info.status === "dropped") continue;
    if (taken.has(info.name)) {
      entry.info = { ...info, name: `${info.name}__${info.tableId}` };
      lines.push(`Two tables have the name "${info.name}": number ${info.tableId} gets another`);
    }
    taken.add(entry.info.name);
  }
}

/** A dropped table without partitions: numbers up to its own are never given to a new one. */
function numberHolder(last: TableId, now: number): RecoveredTable {
  const tableId = last + TABLE_STEP;
  const info: TableInfo = {
    tableId,
    name: `__drop_holder__${tableId}`,
    status: "dropped",
    partitionCount: 0,
    maxReplicaCount: 1,
    envs: new Map(),
    createdAt: now,
    droppedAt: now,
    expiresAt: now,
    revision: 0,
  };
  return { info, configs: [] };
}

interface Held {
  readonly node: NodeId;
  readonly report: ReplicaReport;
}

function rebuildPartitions(
  info: TableInfo,
  answers: ReadonlyMap<NodeId, Stock>,
  { skipLostPartitions }: RecoveryInput,
): { configs: PartitionConfig[]; problems: string[]; lines: string[] } {
  const held = new Map<PartitionId, Held[]>();
  for (const [node, { replicas }] of answers) {
    for (const report of replicas) {
      const known = held.get(report.partition) ?? [];
      held.set(report.partition, [...known, { node, report }]);
    }
  }
  const problems: string[] = [];
  const lines: string[] = [];
  const configs: PartitionConfig[] = [];
  for (let index = 0; index < info.partitionCount; index++) {
    const partition = partitionId(info.tableId, index);
    const copies = held.get(partition) ?? [];
    if (copies.length > 0) {
      configs.push(rebuild(partition, info.maxReplicaCount, copies, lines));
      continue;
    }
    configs.push(emptyConfig(partition, info.maxReplicaCount));
    if (info.status === "dropped" || info.status === "dropping") continue;
    const what = `No server holds a replica of ${formatPartition(partition)} of "${info.name}"`;
    if (skipLostPartitions) lines.push(`${what}: it becomes empty`);
    else problems.push(`${what}: find its server, or skip lost partitions to make it empty`);
  }
  return { configs, problems, lines };
}

/** A configuration that everybody has lost: whoever proves to be complete gets it back. */
function rebuild(
  partition: PartitionId,
  maxReplicaCount: number,
  copies: readonly Held[],
  lines: string[],
): PartitionConfig {
  const committed = Math.max(...copies.map(({ report }) => report.committed));
  const sorted = copies.toSorted((a, b) => compareHeld(a.report, b.report, committed));
  const best = sorted.at(-1)!;
  const longest = Math.max(...copies.map(({ report }) => report.maxPrepared));
  if (longest > best.report.maxPrepared) {
    const { node, report: { maxPrepared, mutationBallot } } = best;
    lines.push(
      `${formatPartition(partition)}: ${node} leads with decree ${maxPrepared} of ballot ` +
        `${mutationBallot}; decrees up to ${longest} are of an older ballot and were not committed`,
    );
  }
  const ballot: Ballot = Math.max(...copies.map(({ report }) => report.ballot)) + BALLOT_STEP;
  return {
    partition,
    ballot,
    primary: NOBODY,
    secondaries: [],
    lastDrops: sorted.slice(-LAST_DROPS_MAX).map(({ node }) => node),
    maxReplicaCount,
    committedHint: committed,
  };
}

/**
 * Less complete first. A replica whose newest mutation has the larger ballot took part in a later reign, and
 * what a reign began with holds everything committed before (I8); decrees alone prove nothing, because a lost
 * primary may have logged a tail that nobody else has (§10.4). Whoever lacks what was committed comes last.
 */
export function compareHeld(a: ReplicaReport, b: ReplicaReport, committed: number): number {
  const lacksA = a.maxPrepared < committed ? 1 : 0;
  const lacksB = b.maxPrepared < committed ? 1 : 0;
  return lacksB - lacksA || a.mutationBallot - b.mutationBallot ||
    a.maxPrepared - b.maxPrepared || a.committed - b.committed || a.ballot - b.ballot;
}
