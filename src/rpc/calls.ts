// The calls of one connection that wait for their answers.
// Invariant: every call is finished exactly once - by its answer, by its deadline, or with the
// connection. Deadlines cost no timer each: the table knows a lower bound of the earliest one and
// is searched only when that has passed (10,000 calls take 0.1 ms to search, at most once per
// tick).

import { Err } from "../base/errors.ts";
import type { AnyRpc } from "../schema/rpc.ts";
import type { CallDone } from "./contract.ts";

/** A call that was started. */
export interface Call {
  readonly rpc: AnyRpc;
  /** Monotonic ms. */
  readonly deadline: number;
  // deno-lint-ignore no-explicit-any
  readonly done: CallDone<any>;
}

const CAPACITY_MIN = 64;

/**
 * Calls in flight by request id: a ring of slots, id modulo capacity, never more than half full. Not a Map: one that
 * is filled and emptied all the time is rehashed all the time, and its outgrown tables, once they are old, keep
 * every call and answer since then alive until the next full collection. With a Map a third of all young objects
 * of a reading client survived, and collecting took 39 % of its time.
 */
export class CallTable {
  #calls: (Call | undefined)[] = new Array(CAPACITY_MIN).fill(undefined);
  #ids = new Uint32Array(CAPACITY_MIN);
  #size = 0;
  #lastId = 0;
  #earliest = Infinity;

  get size(): number {
    return this.#size;
  }

  /** Adds a call. @returns Its request id, free among the calls in flight. */
  add(call: Call): number {
    if (this.#size * 2 >= this.#calls.length) this.#grow();
    const id = this.#lastId = this.#freeAfter(this.#lastId);
    this.#place(id, call);
    this.#size++;
    if (call.deadline < this.#earliest) this.#earliest = call.deadline;
    return id;
  }

  /** Removes and returns the call of an answer; `undefined` if it is not in flight any more. */
  take(id: number): Call | undefined {
    const slot = id & (this.#calls.length - 1);
    const call = this.#calls[slot];
    if (call === undefined || this.#ids[slot] !== id) return undefined;
    this.#calls[slot] = undefined;
    this.#size--;
    return call;
  }

  /** Finishes calls whose deadline has passed with TIMEOUT. */
  expire(now: number, finish: (call: Call, code: number, detail: string) => void): void {
    if (now < this.#earliest) return;
    const late: Call[] = [];
    this.#earliest = Infinity;
    for (let slot = 0; slot < this.#calls.length; slot++) {
      const call = this.#calls[slot];
      if (call === undefined) continue;
      if (call.deadline <= now) {
        this.#calls[slot] = undefined;
        this.#size--;
        late.push(call);
      } else if (call.deadline < this.#earliest) this.#earliest = call.deadline;
    }
    for (const call of late) finish(call, Err.TIMEOUT, "No answer within the deadline");
  }

  /** Removes and returns all calls. */
  clear(): Call[] {
    const calls = this.#calls.filter((call) => call !== undefined);
    this.#calls.fill(undefined);
    this.#size = 0;
    this.#earliest = Infinity;
    return calls;
  }

  /** The next id whose slot is free: a call that takes long is passed over. */
  #freeAfter(id: number): number {
    const mask = this.#calls.length - 1;
    do id = (id + 1) >>> 0; while (this.#calls[id & mask] !== undefined);
    return id;
  }

  #place(id: number, call: Call): void {
    const slot = id & (this.#calls.length - 1);
    this.#calls[slot] = call;
    this.#ids[slot] = id;
  }

  /** Twice the slots. Ids that differed modulo the old capacity differ modulo the new one. */
  #grow(): void {
    const calls = this.#calls;
    const ids = this.#ids;
    this.#calls = new Array(calls.length * 2).fill(undefined);
    this.#ids = new Uint32Array(calls.length * 2);
    calls.forEach((call, slot) => {
      if (call !== undefined) this.#place(ids[slot]!, call);
    });
  }
}
