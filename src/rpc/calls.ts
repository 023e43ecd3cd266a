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

/** Calls in flight by request id. */
export class CallTable {
  readonly #calls = new Map<number, Call>();
  #lastId = 0;
  #earliest = Infinity;

  get size(): number {
    return this.#calls.size;
  }

  /** Adds a call. @returns Its request id, free among the calls in flight. */
  add(call: Call): number {
    do this.#lastId = (this.#lastId + 1) >>> 0; while (this.#calls.has(this.#lastId));
    this.#calls.set(this.#lastId, call);
    if (call.deadline < this.#earliest) this.#earliest = call.deadline;
    return this.#lastId;
  }

  /** Removes and returns the call of an answer; `undefined` if it is not in flight any more. */
  take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    if (call !== undefined) this.#calls.delete(id);
    return call;
  }

  /** Finishes calls whose deadline has passed with TIMEOUT. */
  expire(now: number, finish: (call: Call, code: number, detail: string) => void): void {
    if (now < this.#earliest) return;
    const late: Call[] = [];
    this.#earliest = Infinity;
    for (const [id, call] of this.#calls) {
      if (call.deadline <= now) {
        this.#calls.delete(id);
        late.push(call);
      } else if (call.deadline < this.#earliest) this.#earliest = call.deadline;
    }
    for (const call of late) finish(call, Err.TIMEOUT, "No answer within the deadline");
  }

  /** Removes and returns all calls. */
  clear(): Call[] {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.#earliest = Infinity;
    return calls;
  }
}
