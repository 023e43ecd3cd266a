// Numbers of exactly-once writes: one session per partition, sequences from 1. Invariant: a sequence
// names one operation for ever, and `answeredBelow` never passes a sequence whose operation may still be
// repeated, because the partition forgets every result below it. See docs/client.md, "Exactly once".

/** An open session in one partition. */
export class Session {
  /** Name of the session: the decree of the write that opened it. */
  readonly id: number;
  #next = 1;
  // Invariant: every sequence below #low is finished, #low itself is not; #finished holds those above.
  #low = 1;
  readonly #finished = new Set<number>();

  constructor(id: number) {
    this.id = id;
  }

  /** The next sequence. It must be given to {@link finish} some day. */
  take(): number {
    return this.#next++;
  }

  /** The application has its answer: this sequence is never sent again. */
  finish(sequence: number): void {
    if (sequence !== this.#low) {
      if (sequence > this.#low) this.#finished.add(sequence);
      return;
    }
    this.#low++;
    while (this.#finished.delete(this.#low)) this.#low++;
  }

  /** The lowest sequence that may still be sent again. */
  get answeredBelow(): number {
    return this.#low;
  }
}
