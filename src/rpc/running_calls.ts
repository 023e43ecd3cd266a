// The calls of one connection that wait for their handlers: a list through the calls themselves. Not a Set: the
// outgrown tables of one that is filled and emptied all the time, once they are old, keep every call since then
// alive until the next full collection (calls.ts). Invariant: a call that has left points to nobody.

/** What can be in such a list: at most one at a time. */
export interface Listed<Self> {
  previous: Self | undefined;
  next: Self | undefined;
  isListed: boolean;
}

/** See the file comment. */
export class RunningCalls<Call extends Listed<Call>> {
  #first: Call | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a call that is in no list. */
  add(call: Call): void {
    call.isListed = true;
    call.next = this.#first;
    if (this.#first !== undefined) this.#first.previous = call;
    this.#first = call;
    this.#size++;
  }

  /** Takes a call out; false if it is in no list. */
  delete(call: Call): boolean {
    if (!call.isListed) return false;
    const { previous, next } = call;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    call.isListed = false;
    call.previous = call.next = undefined;
    this.#size--;
    return true;
  }

  /** Shows every call, the newest first; the one shown may be taken out. */
  forEach(see: (call: Call) => void): void {
    for (let call = this.#first; call !== undefined;) {
      const { next } = call;
      see(call);
      call = next;
    }
  }

  clear(): void {
    this.forEach((call) => this.delete(call));
  }
}
