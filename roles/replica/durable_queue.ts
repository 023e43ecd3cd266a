// Which replica waits for which position of the shared log. Positions grow, so a queue suffices; one report
// of the log may settle many records of many replicas, and each replica hears of it once, with its newest
// token.

interface Waiter {
  onDurable(token: number): void;
}

/** See the file comment. */
export class DurableQueue<Owner extends Waiter> {
  // Invariant: three parallel columns, positions ascending from #head on.
  #positions: number[] = [];
  #owners: Owner[] = [];
  #tokens: number[] = [];
  #head = 0;
  /** Newest token per replica of one report; insertion order is the order of their oldest records. */
  readonly #settled = new Map<Owner, number>();

  /** Records that are not durable yet. */
  get size(): number {
    return this.#positions.length - this.#head;
  }

  /** Notes that `owner` waits for `position`, which is above all earlier ones. */
  push(position: number, owner: Owner, token: number): void {
    this.#positions.push(position);
    this.#owners.push(owner);
    this.#tokens.push(token);
  }

  /** Everything up to `position` is durable: tells each owner its newest settled token. */
  settle(position: number): void {
    const settled = this.#settled;
    let head = this.#head;
    while (head < this.#positions.length && this.#positions[head]! <= position) {
      settled.set(this.#owners[head]!, this.#tokens[head]!);
      head++;
    }
    this.#head = head;
    if (head === this.#positions.length || head > 4096) this.#compact();
    for (const [owner, token] of settled) owner.onDurable(token);
    settled.clear();
  }

  #compact(): void {
    this.#positions = this.#positions.slice(this.#head);
    this.#owners = this.#owners.slice(this.#head);
    this.#tokens = this.#tokens.slice(this.#head);
    this.#head = 0;
  }
}
