// What the parts of meta's state machine share: the reign, the settings, the output of the current
// step, and the one way to write. Invariants: a reign's state exists only while this process leads;
// a write's result is acted on exactly once, after the store confirmed it; a write whose outcome is
// unknown is decided by reading what is stored. Rules: docs/meta.md, "Writing".

import { equalBytes } from "../base/bytes.ts";
import type { Now } from "../base/clock.ts";
import type { NodeId } from "../base/ids.ts";
import type { FunctionLevel } from "../schema/meta_rpc.ts";
import type { ClusterState, PartitionState, TableState } from "./cluster_state.ts";
import type { FailureDetector } from "./failure_detector.ts";
import type {
  MetaAnswer,
  MetaEffect,
  MetaNote,
  MetaRequestName,
  MetaSettings,
  StoreChange,
  StoredValue,
  StoreResult,
  Token,
} from "./io.ts";
import { effectiveLevel } from "./levels.ts";
import type { Forecast } from "./shares.ts";
import type { Users } from "./users.ts";
import type { ForeignServer, Recovery } from "./recovery.ts";
import type { Identity } from "./stored.ts";

/** How long to wait before an uncertain write is looked up again, ms. */
const READ_BACK_RETRY_MS = 1000;

interface PendingWrite {
  readonly changes: readonly StoreChange[];
  readonly done: (versions: readonly number[]) => void;
  /** An attempt may have happened: a later refusal proves nothing about it. */
  uncertain: boolean;
  /** When to read back again, monotonic ms; Infinity while an answer is awaited. */
  readBackAt: number;
}

/** Servers as stored; version -1 = nothing is stored. */
export interface NodeList {
  readonly nodes: ReadonlySet<NodeId>;
  readonly version: number;
  busy: boolean;
}

/** What this process knows while it leads. */
export interface Reign {
  readonly epoch: number;
  /** When it began to decide, monotonic ms. */
  since: number;
  /** The tree was read: requests are answered. */
  started: boolean;
  identity: Identity;
  /** Servers that are not admitted because they hold data of another store. */
  readonly foreign: Map<NodeId, ForeignServer>;
  /** Servers that are not admitted because their lease is not below the grace, and which start of each. */
  readonly longLeases: Map<NodeId, number>;
  recovery: Recovery | undefined;
  /** What an interrupted recovery has written. */
  leftovers: readonly StoredValue[];
  readonly cluster: ClusterState;
  readonly detector: FailureDetector;
  readonly writes: Map<number, PendingWrite>;
  /** Requests whose answer waits for a write of a table; failed as unknown when the reign ends. */
  readonly waiting: Set<Token>;
  /** Names that a write in flight gives to a table. */
  readonly names: Set<string>;
  /** Tables being dropped, and what follows. */
  readonly drops: Map<TableState, () => void>;
  nextCureAt: number;
  /** The balancer: an operator's run, the moves it began, when the next round may begin, what it would do. */
  readonly balance: {
    running: boolean;
    started: number;
    nextAt: number;
    forecast: Forecast | undefined;
  };
  /** Servers to be emptied. */
  drained: NodeList;
  /** Servers that an operator declared gone for good, of those that partitions remember as lost members. */
  forgotten: NodeList;
  /** Servers that get no new replica. */
  blackList: NodeList;
  /** Who may log in. */
  users: Users;
  /** Partitions whose configuration changed in this step: looked at again before it ends. */
  readonly touched: { readonly table: TableState; readonly partition: PartitionState }[];
}

/** See the file comment. */
export interface MetaState {
  readonly self: NodeId;
  readonly clusterName: string;
  metaServers: readonly string[];
  readonly coordinator: string;
  readonly settings: MetaSettings;
  level: FunctionLevel;
  reign: Reign | undefined;
  /** Who leads, as far as known; "" = unknown. */
  leader: NodeId;
  /** See the event of this name. */
  leaderUntil: number;
  /** Set by {@link abdicate}: the reign ends with this step. */
  abdicated: string | undefined;
  /** Numbers of writes never repeat, so that a late result of an earlier reign finds nothing. */
  lastWrite: number;
  /** Set at the start of every step. */
  now: Now;
  out: MetaEffect[];
}

/** Whether this process may act as leader right now: ack beacons, answer, propose. */
export function leads(s: MetaState): boolean {
  return s.reign !== undefined && s.now.mono < s.leaderUntil;
}

/** Answers a request. */
export function reply<Name extends MetaRequestName>(
  s: MetaState,
  token: Token,
  response: MetaAnswer<Name>,
): void {
  s.reign?.waiting.delete(token);
  s.out.push({ kind: "reply", token, response });
}

/** Refuses a request. */
export function fail(s: MetaState, token: Token, error: number, detail: string): void {
  s.reign?.waiting.delete(token);
  s.out.push({ kind: "fail", token, error, detail });
}

/** Pushes a note. */
export function note(s: MetaState, event: MetaNote, details: Record<string, unknown>): void {
  s.out.push({ kind: "note", event, details });
}

/** The chosen function level, lowered while too few servers are alive. */
export function levelNow(s: MetaState, reign: Reign): FunctionLevel {
  const { aliveCount, knownCount } = reign.detector;
  return effectiveLevel(s.level, aliveCount, knownCount, s.settings.alivePercentMin);
}

/** Why the level forbids something, for people. */
export function levelText(s: MetaState, reign: Reign): string {
  const level = levelNow(s, reign);
  if (level === s.level) return `The function level is ${level}`;
  const { aliveCount, knownCount } = reign.detector;
  return `The cluster is frozen: ${aliveCount} of ${knownCount} known replica servers are alive`;
}

/**
 * Writes all changes or none; `done` runs once they are stored, with the new versions. It never
 * runs if the reign ends before.
 */
export function write(
  s: MetaState,
  reign: Reign,
  changes: readonly StoreChange[],
  done: (versions: readonly number[]) => void,
): void {
  const number = ++s.lastWrite;
  reign.writes.set(number, { changes, done, uncertain: false, readBackAt: Infinity });
  s.out.push({ kind: "store", epoch: reign.epoch, write: number, changes });
}

/** The store's answer to a write. */
export function onStored(s: MetaState, reign: Reign, number: number, result: StoreResult): void {
  const pending = reign.writes.get(number);
  if (pending === undefined) return;
  switch (result.kind) {
    case "done":
      reign.writes.delete(number);
      return pending.done(result.versions);
    case "refused":
      if (pending.uncertain) return readBack(s, number, pending);
      // Only the leader writes, and it knows every version: somebody else leads.
      return abdicate(s, `The store refused a write: ${result.reason}`);
    case "unknown":
      pending.uncertain = true;
      note(s, "storeUnknown", { write: number, reason: result.reason });
      return readBack(s, number, pending);
  }
}

/** What is stored where a write's outcome was unknown. */
export function onReadBack(
  s: MetaState,
  reign: Reign,
  number: number,
  nodes: readonly (StoredValue | undefined)[] | undefined,
): void {
  const pending = reign.writes.get(number);
  if (pending === undefined) return;
  if (nodes === undefined) {
    pending.readBackAt = s.now.mono + READ_BACK_RETRY_MS;
    return;
  }
  const found = pending.changes.map((change, i) => compare(change, nodes[i]));
  if (found.every((outcome) => outcome === "done")) {
    reign.writes.delete(number);
    return pending.done(nodes.map((node) => node?.version ?? -1));
  }
  if (found.every((outcome) => outcome === "open")) {
    // Not there yet, and may still be on its way. The versions let only one of both attempts
    // through, and their content is the same.
    const { epoch } = reign;
    s.out.push({ kind: "store", epoch, write: number, changes: pending.changes });
    pending.readBackAt = Infinity;
    return;
  }
  abdicate(s, "The store holds what this leader did not write");
}

/** Reads again what could not be read before. */
export function tickWrites(s: MetaState, reign: Reign): void {
  for (const [number, pending] of reign.writes) {
    if (s.now.mono >= pending.readBackAt) readBack(s, number, pending);
  }
}

function readBack(s: MetaState, write: number, pending: PendingWrite): void {
  pending.readBackAt = Infinity;
  const paths = pending.changes.map((change) => change.path);
  s.out.push({ kind: "readBack", write, paths });
}

function compare(change: StoreChange, stored: StoredValue | undefined): "done" | "open" | "alien" {
  if (change.op === "create") {
    if (stored === undefined) return "open";
    return stored.version === 0 && equalBytes(stored.value, change.value) ? "done" : "alien";
  }
  if (stored?.version === change.version) return "open";
  if (change.op === "delete") return stored === undefined ? "done" : "alien";
  const isOurs = stored?.version === change.version + 1 && equalBytes(stored.value, change.value);
  return isOurs ? "done" : "alien";
}

/** Ends the reign because it is not, or cannot be, ours. */
export function abdicate(s: MetaState, reason: string): void {
  s.out.push({ kind: "abdicate", reason });
  s.abdicated = reason;
}
