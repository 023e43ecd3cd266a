// The store of a cluster is lost: servers hold data of a store that this one is not. They are not admitted,
// so nothing is told to them and nothing served, until an operator has the tables rebuilt from what they hold.
// Invariants: nobody is asked before every lease granted by anybody has run out; what is written counts only
// with the last write, which gives this store the identity that the servers know. Rules: docs/meta.md,
// "Recovery".

import { Err } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { MetaBody, Stock, StoreChange, StoredValue, Token } from "./io.ts";
import { fail, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { planRecovery, type RecoveryPlan } from "./recovery_plan.ts";
import {
  CLUSTER_PATH,
  clusterValue,
  type Identity,
  partitionPath,
  partitionValue,
  tablePath,
  tableValue,
} from "./stored.ts";

/** A server may take so long to say what it holds. */
const ANSWER_MS = 15_000;
/** Nodes of the store in one group. */
const BATCH = 100;

/** A recovery, begun by an operator; it ends with the reign at the latest. */
export interface Recovery {
  state: "waiting" | "asking" | "writing" | "done" | "failed";
  detail: string;
  lines: readonly string[];
  readonly request: MetaBody<"recover">;
  readonly nodes: readonly NodeId[];
  /** Nobody can hold a lease from then on, monotonic ms. */
  readonly askAt: number;
  readonly answers: Map<NodeId, Stock>;
  readonly failures: Map<NodeId, string>;
}

/** A server that holds data of another store. */
export interface ForeignServer {
  readonly store: string;
  /** Monotonic ms of its newest beacon. */
  readonly heardAt: number;
}

/** Whether a server's data belongs to another store than this one. */
export function isForeign({ store, former }: Identity, servers: string): boolean {
  return servers !== "" && servers !== store && !former.includes(servers);
}

/** Why tables cannot be used or made now; `undefined` if nothing is lost. */
export function recoveryHold(reign: Reign): string | undefined {
  const state = reign.recovery?.state;
  if (state === "waiting" || state === "asking" || state === "writing") {
    return "Tables are being rebuilt from replica servers; see recover --status";
  }
  // "There is no such table" would be a lie that clients believe.
  if (reign.foreign.size > 0 && reign.cluster.tables.size === 0) return foreignText(reign);
  if (!reign.identity.recovering) return undefined;
  return "Rebuilding the tables from replica servers was interrupted: run recover again";
}

/** What an operator must know of servers that are not admitted; "" if there are none. */
export function foreignText(reign: Reign): string {
  const { foreign } = reign;
  if (foreign.size === 0) return "";
  const names = [...foreign.keys()].sort();
  return `${
    names.join(", ")
  } hold data of another store and are not used: bring that store back, ` +
    "run recover to rebuild this one from them, or stop them";
}

/** Begins a recovery, or tells how it goes. */
export function onRecover(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"recover">,
  token: Token,
): void {
  if (request.action === "start") {
    const running = reign.recovery?.state;
    if (running === "waiting" || running === "asking" || running === "writing") {
      return fail(s, token, Err.UNDER_RECOVERY, "A recovery is running");
    }
    if (reign.cluster.tables.size > 0) {
      const text = `The store holds ${reign.cluster.tables.size} tables, dropped ones included: ` +
        "only an empty store can be rebuilt";
      return fail(s, token, Err.INVALID_ARGUMENT, text);
    }
    const alive = [...reign.detector.nodes].filter((state) => state.alive).map(({ node }) => node);
    const all = [...new Set([...reign.foreign.keys(), ...alive])];
    const nodes = request.nodes.length > 0 ? request.nodes : all;
    if (nodes.length === 0) {
      const text = "No replica server has shown itself: start them, or name them";
      return fail(s, token, Err.INVALID_ARGUMENT, text);
    }
    reign.recovery = newRecovery(s, reign, request, nodes);
    note(s, "recovery", { state: "waiting", nodes: nodes.join(",") });
  }
  const { state = "idle" as const, detail = "", lines = [] } = reign.recovery ?? {};
  reply<"recover">(s, token, { state, detail, lines: [...lines] });
}

function newRecovery(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"recover">,
  nodes: readonly NodeId[],
): Recovery {
  return {
    state: "waiting",
    detail: "until no server can hold a lease of an earlier leader",
    lines: [],
    request,
    nodes,
    askAt: Math.max(s.now.mono, reign.since + s.settings.graceMs),
    answers: new Map(),
    failures: new Map(),
  };
}

/** Forgets foreign servers that are gone. Begins to ask when it is time, and stops waiting for answers when it is too late. */
export function tickRecovery(s: MetaState, reign: Reign): void {
  const { recovery, foreign } = reign;
  for (const [node, { heardAt }] of foreign) {
    if (s.now.mono - heardAt > s.settings.graceMs) foreign.delete(node);
  }
  if (recovery?.state === "waiting" && s.now.mono >= recovery.askAt) {
    recovery.state = "asking";
    recovery.detail = `${recovery.nodes.length} servers`;
  }
  if (recovery?.state !== "asking" || s.now.mono < recovery.askAt + ANSWER_MS) return;
  for (const node of recovery.nodes) {
    if (recovery.answers.has(node)) continue;
    recovery.failures.set(node, `no report within ${ANSWER_MS / 1000} s`);
  }
  decide(s, reign, recovery);
}

/** Whether a server should say what it holds. */
export function wantsStored({ recovery }: Reign, node: NodeId): boolean {
  return recovery?.state === "asking" && recovery.nodes.includes(node) &&
    !recovery.answers.has(node);
}

/** A server's report. With the last one it is decided what to store. */
export function onReportStored(s: MetaState, reign: Reign, stock: Stock, token: Token): void {
  const { recovery } = reign;
  reply<"reportStored">(s, token, {});
  if (recovery === undefined || !wantsStored(reign, stock.node)) return;
  recovery.answers.set(stock.node, stock);
  const missing = recovery.nodes.length - recovery.answers.size;
  recovery.detail = `${missing} of ${recovery.nodes.length} servers have not answered`;
  if (missing === 0) decide(s, reign, recovery);
}

function decide(s: MetaState, reign: Reign, recovery: Recovery): void {
  const { skipBadNodes, skipLostPartitions } = recovery.request;
  const plan = planRecovery({
    ...recovery,
    own: new Set([reign.identity.store, ...reign.identity.former]),
    skipBadNodes,
    skipLostPartitions,
    now: Math.floor(s.now.wall / 1000),
  });
  recovery.lines = [...plan.problems, ...plan.lines];
  if (plan.problems.length > 0) return end(s, recovery, "failed", "Nothing was stored");
  begin(s, reign, recovery, plan);
}

function end(
  s: MetaState,
  recovery: Recovery,
  state: "done" | "failed",
  detail: string,
): void {
  recovery.state = state;
  recovery.detail = detail;
  note(s, "recovery", { state, detail });
  for (const line of recovery.lines) note(s, "recovery", { line });
}

/** Marks the store, removes what an interrupted recovery left, writes the tables, takes the mark away. */
function begin(s: MetaState, reign: Reign, recovery: Recovery, plan: RecoveryPlan): void {
  recovery.state = "writing";
  const { identity } = reign;
  const changes = [...removals(reign.leftovers), ...creations(plan)];
  const finish = () => {
    const store = plan.store === "" ? identity.store : plan.store;
    // Servers that came to this store while it was empty know its first identity.
    const former = [...new Set([...identity.former, identity.store])].filter((id) => id !== store);
    setIdentity(s, reign, { ...reign.identity, store, former, recovering: false }, () => {
      const tables = plan.tables.filter(({ configs }) => configs.length > 0).length;
      end(s, recovery, "done", `${tables} tables are back; their partitions follow by themselves`);
      reign.leftovers = [];
      reign.foreign.clear();
      reign.started = false;
      s.out.push({ kind: "load", epoch: reign.epoch });
    });
  };
  const next = (at: number) => {
    recovery.detail = `${at} of ${changes.length} nodes of the store`;
    if (at >= changes.length) return finish();
    const group = changes.slice(at, at + BATCH);
    write(s, reign, group, () => next(at + BATCH));
  };
  setIdentity(s, reign, { ...identity, recovering: true }, () => next(0));
}

/** Children first. */
function removals(leftovers: readonly StoredValue[]): StoreChange[] {
  return leftovers.toSorted((a, b) => b.path.length - a.path.length)
    .map(({ path, version }) => ({ op: "delete", path, version }));
}

function creations(plan: RecoveryPlan): StoreChange[] {
  return plan.tables.flatMap(({ info, configs }) => [
    { op: "create" as const, path: tablePath(info.tableId), value: tableValue(info) },
    ...configs.map((config) => ({
      op: "create" as const,
      path: partitionPath(config.partition),
      value: partitionValue(config),
    })),
  ]);
}

function setIdentity(s: MetaState, reign: Reign, next: Identity, done: () => void): void {
  const value = clusterValue(s.clusterName, next);
  const { version } = reign.identity;
  write(s, reign, [{ op: "set", path: CLUSTER_PATH, value, version }], ([stored]) => {
    reign.identity = { ...next, version: stored! };
    done();
  });
}
