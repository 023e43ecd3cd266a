// What one operation on its way is made of, and what operations on one table share. execute.ts moves it.

import type { StoreError } from "../base/errors.ts";
import type { PartitionId } from "../base/ids.ts";
import type { CallDone } from "../rpc/contract.ts";
import type { Rpc } from "../schema/rpc.ts";
import type { Attempt } from "./attempts.ts";
import { Operation, type OperationKind } from "./operation.ts";
import type { StaleHead } from "./options.ts";
import type { Resolver } from "./resolver.ts";
import type { Session } from "./session.ts";
import type { Sleeper } from "./wakeups.ts";
import type { WaveMember } from "./write_waves.ts";

/** One kind of operation: how it travels and what the application gets. */
export interface CallSpec<Q, A, T> {
  readonly rpc: Rpc<Q, A>;
  /** Turns the answer into the result; copies what must outlive the received frame. */
  readonly result: (response: A) => T;
  /** Of writes: bytes of keys and values. */
  readonly bytes?: (request: Q) => number;
}

/** One partition of a known shape of the table, for operations that do not follow a key. */
export interface Pin {
  readonly tableId: number;
  readonly partitionCount: number;
  readonly index: number;
}

/** Where an operation goes: to the partition of a key, or to a fixed one. */
export interface Target {
  readonly hashKey: Uint8Array;
  readonly sortKey: Uint8Array;
  readonly pin?: Pin;
  /** Of reads: whether any member may answer. */
  readonly head?: StaleHead;
}

/** The session of one partition, and who waits for it. */
export interface SessionSlot {
  session: Session | undefined;
  isOpening: boolean;
  waiters: { readonly call: AnyCall; readonly waitId: number }[];
}

/** What operations on one table share. */
export class TableState {
  readonly name: string;
  readonly resolver: Resolver;
  readonly slots = new Map<PartitionId, SessionSlot>();
  /** When overdue attempts last made it look at the routes, monotonic ms. */
  lookedAt = -Infinity;

  constructor(name: string, resolver: Resolver) {
    this.name = name;
    this.resolver = resolver;
  }
}

/** Fields of a request that the loop fills in before every attempt. */
export interface RequestHead {
  partition: number;
  session?: number;
  sequence?: number;
  answeredBelow?: number;
}

/** One operation on its way. */
export class Call<Q, A, T> extends Operation implements Sleeper, Attempt, WaveMember {
  readonly table: TableState;
  readonly spec: CallSpec<Q, A, T>;
  readonly request: Q;
  readonly target: Target;
  waitId = 0;
  wave = 0;
  sentAt = 0;
  sentBefore: Attempt | undefined = undefined;
  sentAfter: Attempt | undefined = undefined;
  /** Version of the routes used last. */
  routeVersion = 0;
  address = "";
  detail = "";
  session: Session | undefined;
  sequence = 0;
  response: A | undefined;
  done!: CallDone<A>;
  resolve!: (result: T) => void;
  reject!: (error: StoreError) => void;

  constructor(
    table: TableState,
    spec: CallSpec<Q, A, T>,
    request: Q,
    target: Target,
    timing: {
      readonly kind: OperationKind;
      readonly startedAt: number;
      readonly timeoutMs: number;
    },
  ) {
    super(timing.kind, timing.startedAt, timing.timeoutMs);
    this.table = table;
    this.spec = spec;
    this.request = request;
    this.target = target;
  }
}

/** An operation of whatever kind. */
// deno-lint-ignore no-explicit-any
export type AnyCall = Call<any, any, any>;
