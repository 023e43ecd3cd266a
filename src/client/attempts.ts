// The attempts of a client that wait for their answers, oldest first: a list through the operations themselves,
// because it is touched twice by every operation (4-20 ns together) and looked at only when something hangs.

/** An operation with one attempt on its way; the fields belong to {@link Attempts}. */
export interface Attempt {
  /** Monotonic ms. */
  sentAt: number;
  sentBefore: Attempt | undefined;
  sentAfter: Attempt | undefined;
}

/** See the file comment. */
export class Attempts<A extends Attempt> {
  /** The ends of the list. */
  #oldest: Attempt | undefined;
  #newest: Attempt | undefined;

  /** Notes that the operation's attempt was sent at `now`, which never goes back. */
  add(attempt: A, now: number): void {
    attempt.sentAt = now;
    attempt.sentBefore = this.#newest;
    if (this.#newest === undefined) this.#oldest = attempt;
    else this.#newest.sentAfter = attempt;
    this.#newest = attempt;
  }

  /** The attempt is over; no effect if it is not in the list. */
  remove(attempt: A): void {
    const { sentBefore, sentAfter } = attempt;
    if (sentBefore !== undefined) sentBefore.sentAfter = sentAfter;
    else if (this.#oldest === attempt) this.#oldest = sentAfter;
    if (sentAfter !== undefined) sentAfter.sentBefore = sentBefore;
    else if (this.#newest === attempt) this.#newest = sentBefore;
    attempt.sentBefore = undefined;
    attempt.sentAfter = undefined;
  }

  /** Attempts sent at `until` or before, oldest first. */
  overdue(until: number): A[] {
    const found: A[] = [];
    for (let at = this.#oldest; at !== undefined && at.sentAt <= until; at = at.sentAfter) {
      found.push(at as A);
    }
    return found;
  }
}
