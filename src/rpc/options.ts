// What every end of the network is told when it is made: who it is, its limits, where its log goes,
// and where its time comes from. Time is injected so that tests can let a peer be silent for
// minutes.

import type { LogCallback } from "../observe/logger.ts";
import type { AnyRpc } from "../schema/rpc.ts";
import { BEAT_MS, everyBeat } from "./beat.ts";
import { RPC_DEFAULTS, type RpcSettings } from "./contract.ts";
import type { AcceptSecurity, DialSecurity } from "./security.ts";
import type { Principal } from "../schema/access.ts";

/** Who speaks, as the other side gets to know it in the handshake. */
export interface RpcIdentity {
  /**
   * Name of the cluster; ends of different clusters refuse each other. "" fits every cluster
   * (client library).
   */
  readonly cluster: string;
  /**
   * Name of the sender in the other side's log, "host:port" for servers; "" = use the socket's
   * address.
   */
  readonly node: string;
  /** "meta", "replica", "client", "shell", "bench" or "onebox"; for the other side's log. */
  readonly role: string;
}

/** Time for connections. */
export interface RpcTimers {
  /** Monotonic ms. */
  now(): number;
  /**
   * Runs `tick` about every `ms` until the returned function is called. Must not keep a process
   * alive.
   */
  every(ms: number, tick: () => void): () => void;
}

/** The timers of the runtime. */
const systemTimers: RpcTimers = {
  now: () => performance.now(),
  every: everyBeat,
};

/**
 * Sees every request of a server, for metrics. A request that started is answered once and took its time
 * once; the time of what is answered at once is told at the end of the batch, when the answer leaves, so that
 * the clock is read once for all of them.
 */
export interface CallObserver {
  /** A request is handed to its handler. @returns A number that comes back with what follows. */
  started(rpc: AnyRpc, request: unknown, bytes: number): number;
  /** `error` 0 with the bytes of the answer, or the error. TIMEOUT: its deadline passed. */
  answered(tag: number, error: number, bytes: number): void;
  /** `ms` from the read off the socket to the answer. */
  took(tag: number, ms: number): void;
  /** A request was refused before it started. */
  refused(rpcCode: number, error: number): void;
}

/** A request that changes the cluster, or was forbidden, and how it ended. */
export interface AuditedCall {
  readonly who: Principal;
  /** Where from. */
  readonly peer: string;
  readonly rpc: AnyRpc;
  /** Absent: it was refused before it was decoded. */
  readonly request: unknown;
  /** One of `Err`, 0 = done. */
  readonly error: number;
  readonly detail: string;
}

/** Keeps what {@link AuditedCall}s and refused log-ins tell. */
export interface CallAudit {
  ended(call: AuditedCall): void;
  /** Somebody did not get in. */
  refused(peer: string, reason: string): void;
}

/** Options of a client or server. */
export interface RpcOptions {
  readonly identity: RpcIdentity;
  /** Overrides of RPC_DEFAULTS. */
  readonly settings?: Partial<RpcSettings>;
  /** Default: silent. */
  readonly log?: LogCallback;
  /** Default: the runtime's. */
  readonly timers?: RpcTimers;
  /** Servers only. Default: nobody. */
  readonly observer?: CallObserver;
  /** Clients only. Default: plain TCP, and nobody in particular. */
  readonly dial?: DialSecurity;
  /** Servers only. Default: plain TCP, and everybody may do everything. */
  readonly accept?: AcceptSecurity;
  /** Servers only. Default: nobody. */
  readonly audit?: CallAudit;
}

/** {@link RpcOptions} with everything filled in. */
export interface RpcContext {
  readonly identity: RpcIdentity;
  readonly settings: RpcSettings;
  readonly log: LogCallback;
  readonly timers: RpcTimers;
  readonly observer: CallObserver | undefined;
  readonly dial: DialSecurity | undefined;
  readonly accept: AcceptSecurity | undefined;
  readonly audit: CallAudit | undefined;
}

/**
 * One timer per client or server looks after all its connections; deadlines are exact to one
 * period.
 */
export const TICK_MS = BEAT_MS;

/** Fills in the defaults. */
export function rpcContext(options: RpcOptions): RpcContext {
  return {
    identity: options.identity,
    settings: { ...RPC_DEFAULTS, ...options.settings },
    log: options.log ?? (() => {}),
    timers: options.timers ?? systemTimers,
    observer: options.observer,
    dial: options.dial,
    accept: options.accept,
    audit: options.audit,
  };
}
