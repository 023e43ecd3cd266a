// Where meta keeps its state and elects its leader: a small versioned tree, like ZooKeeper's. The embedded
// store (embedded.ts) serves one meta on one machine; ZooKeeper serves several. Both pass
// tests/conformance/coordinator_suite.ts.

/** One node of the tree as read. */
export interface StoredNode {
  readonly path: string;
  readonly value: Uint8Array;
  /** Number of changes of this node's value since its creation; 0 when new. */
  readonly version: number;
}

/** One change of an atomic group. `version` must match the stored one; -1 accepts any. */
export type StoreOp =
  | { readonly op: "create"; readonly path: string; readonly value: Uint8Array }
  | {
    readonly op: "set";
    readonly path: string;
    readonly value: Uint8Array;
    readonly version: number;
  }
  | { readonly op: "delete"; readonly path: string; readonly version: number }
  | { readonly op: "check"; readonly path: string; readonly version: number };

/**
 * Why a call failed.
 *
 * - `noNode`, `nodeExists`, `badVersion`, `notEmpty`: a condition did not hold; nothing changed.
 * - `notLeader`: the epoch is not the newest one; nothing changed.
 * - `refused`: the store takes no such change, ever (too large, not permitted); nothing changed.
 * - `unknown`: it may have happened (connection lost, timeout); read again before deciding anything.
 * - `closed`: the coordinator was closed; nothing changed.
 */
export type StoreErrorKind =
  | "noNode"
  | "nodeExists"
  | "badVersion"
  | "notEmpty"
  | "notLeader"
  | "refused"
  | "unknown"
  | "closed";

/** A failed coordinator call. */
export class CoordinatorError extends Error {
  override readonly name = "CoordinatorError";
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** What a candidate learns about the leadership. */
export type LeadershipEvent =
  /** This process leads. `epoch` grows with every reign and fences its writes. */
  | { readonly kind: "elected"; readonly epoch: number }
  /** Somebody else leads; `leader` is what it passed to `campaign`, "" if not yet known. */
  | { readonly kind: "following"; readonly leader: string }
  /** The reign is over, or can no longer be proven. Stop at once. */
  | { readonly kind: "lost"; readonly reason: string };

/** The tree and the election. Paths are like "/tables/1/3"; "/" always exists. */
export interface Coordinator {
  /** For people: "embedded:/path" or "zookeeper://host:port/root". */
  readonly description: string;
  /** The node, or `undefined`. */
  get(path: string): Promise<StoredNode | undefined>;
  /** Names (not paths) of the children, sorted; empty if the node does not exist. */
  children(path: string): Promise<string[]>;
  /**
   * Applies all operations or none; durable when the promise resolves. `epoch` is the reign in whose name the
   * write happens; a write of an older reign is refused with `notLeader`.
   *
   * @returns The version of each touched node after the change; -1 for a deleted one.
   * @throws {CoordinatorError}
   */
  multi(ops: readonly StoreOp[], epoch: number): Promise<number[]>;
  /** Joins the election under `name` (a host:port) and reports every change of the leadership until closed. */
  campaign(name: string, onEvent: (event: LeadershipEvent) => void): void;
  /**
   * Monotonic ms until which this process may act as leader without hearing from the store again; Infinity
   * where no one else can be elected. (docs/meta.md, "Leadership")
   */
  leaderUntil(): number;
  /** Names of everybody who campaigns, the leader first; absent where there can be only one. */
  candidates?(): Promise<string[]>;
  close(): Promise<void>;
}
