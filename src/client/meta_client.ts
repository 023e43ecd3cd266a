// Talks to the meta servers: finds the leader among the given addresses and repeats what may be repeated.
// Invariant: a request that changes the cluster is sent again only after proof that it was not executed.
// See docs/client.md, "Meta servers".

import type { Clock } from "../base/clock.ts";
import { adviceOf, Err, errorMeaning, StoreError } from "../base/errors.ts";
import type { RpcClient } from "../rpc/contract.ts";
import type { Rpc } from "../schema/rpc.ts";
import type { ClientLog } from "./options.ts";

/** One meta server gets this long, so that a dead one leaves time for the others. */
const ATTEMPT_MS = 1500;
/** Refusals that asking another meta server does not change; between replicas some of them mean an old route. */
const FINAL: ReadonlySet<number> = new Set([
  ...[Err.UNAUTHENTICATED, Err.OBJECT_NOT_FOUND, Err.INVALID_STATE],
]);
/** Pause after every meta server was asked in vain, ms. */
const ROUND_PAUSE_MS = 50;

interface Outcome<A> {
  readonly code: number;
  readonly response: A | undefined;
  readonly detail: string;
}

/** How one request is repeated. */
export interface MetaCallOptions {
  readonly timeoutMs: number;
  /** The request changes nothing: it may be repeated when its fate is unknown. @default false */
  readonly isRead?: boolean;
}

/** See the file comment. */
export class MetaClient {
  readonly #rpc: RpcClient;
  readonly #addresses: readonly string[];
  readonly #clock: Clock;
  readonly #log: ClientLog;
  #leader: string;
  #closed = false;

  /** @param addresses "host:port" of at least one meta server. */
  constructor(rpc: RpcClient, addresses: readonly string[], clock: Clock, log: ClientLog) {
    if (addresses.length === 0) {
      throw new StoreError(Err.INVALID_ARGUMENT, "The list of meta servers is empty");
    }
    this.#rpc = rpc;
    this.#addresses = addresses;
    this.#clock = clock;
    this.#log = log;
    this.#leader = addresses[0]!;
  }

  /** The address asked first. */
  get leader(): string {
    return this.#leader;
  }

  close(): void {
    this.#closed = true;
  }

  /**
   * Asks the leader.
   *
   * @throws {StoreError} The server's refusal, or the last failure at the deadline.
   */
  async call<Q, A>(rpc: Rpc<Q, A>, request: Q, options: MetaCallOptions): Promise<A> {
    const deadline = this.#clock.now().mono + options.timeoutMs;
    let last: Outcome<A> | undefined;
    for (let failures = 0;; failures++) {
      const remaining = deadline - this.#clock.now().mono;
      if (this.#closed) throw new StoreError(Err.CLOSED);
      if (remaining <= 0) throw this.#failure(rpc.name, last, options);
      const address = this.#leader;
      last = await this.#attempt(address, rpc, request, Math.min(remaining, ATTEMPT_MS));
      if (last.code === Err.OK) return last.response!;
      const advice = adviceOf(last.code);
      const isUnknown = advice === "unknownOutcome";
      const isFinal = advice === "never" || FINAL.has(last.code);
      if (isFinal || (isUnknown && options.isRead !== true)) {
        throw this.#failure(rpc.name, last, options);
      }
      const isRoundOver = this.#chooseNext(address, last);
      // Two servers may name each other for ever: after as many failures as servers, always pause.
      const isTired = failures >= this.#addresses.length;
      if (isRoundOver || isTired || advice === "backoff") await pause(ROUND_PAUSE_MS);
    }
  }

  #attempt<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, ms: number): Promise<Outcome<A>> {
    return new Promise((resolve) => {
      this.#rpc.start(
        address,
        rpc,
        request,
        ms,
        (code, response, detail) => resolve({ code, response, detail }),
      );
    });
  }

  /** Picks whom to ask next. @returns Whether all were asked, or a pause is due for another reason. */
  #chooseNext(asked: string, outcome: Outcome<unknown>): boolean {
    // Another caller may have found the leader meanwhile.
    if (this.#leader !== asked) return false;
    if (outcome.code === Err.FORWARD_TO_OTHERS && outcome.detail !== "") {
      this.#leader = outcome.detail;
      return outcome.detail === asked;
    }
    // A leader that is busy or starting is still the leader.
    if (adviceOf(outcome.code) === "backoff") return true;
    const next = (this.#addresses.indexOf(asked) + 1) % this.#addresses.length;
    this.#leader = this.#addresses[next]!;
    this.#log("debug", "Meta server failed, asking the next", {
      address: asked,
      code: outcome.code,
      next: this.#leader,
    });
    return next === 0;
  }

  #failure(name: string, last: Outcome<unknown> | undefined, options: MetaCallOptions): StoreError {
    const code = last?.code ?? Err.CANCELLED;
    const detail = last === undefined || last.detail === "" ? errorMeaning(code) : last.detail;
    const metas = this.#addresses.join(", ");
    const isAnswer = adviceOf(code) === "never" || FINAL.has(code);
    const where = isAnswer ? "" : ` (${name}, meta servers ${metas}, ${options.timeoutMs} ms)`;
    return new StoreError(code, `${detail}${where}`);
  }
}

/** Resolves after `ms` milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
