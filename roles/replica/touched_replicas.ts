// Replicas that heard something and have not formed mutations and acknowledgements of it yet. They do so at the end
// of the turn of the event loop, once for what all sockets delivered: a mutation then holds the writes of several
// clients, and one message to a peer those of several partitions.

import type { ReplicaEvent } from "../../src/replication/io.ts";

const FLUSH: ReplicaEvent = { kind: "flush" };

/** What is touched. */
interface Replica {
  /** Whether it waits for its flush. */
  touched: boolean;
  /** Whether it heard something since the last tick. */
  busy: boolean;
  deliver(event: ReplicaEvent): void;
}

/** See the file comment. */
export class TouchedReplicas {
  readonly #endOfTurn: ((work: () => void) => void) | undefined;
  readonly #list: Replica[] = [];
  #scheduled = false;
  #isNews = false;

  /** @param endOfTurn Runs work at the end of the turn; absent: flush at the end of each batch of input. */
  constructor(endOfTurn?: (work: () => void) => void) {
    this.#endOfTurn = endOfTurn;
  }

  /**
   * The replica is about to hear something. Before it does: what it appends to the log then shares a group with
   * the mutations that are formed at the end of the turn, because the log's turn comes after this one.
   */
  touch(replica: Replica): void {
    replica.busy = this.#isNews = true;
    if (replica.touched) return;
    replica.touched = true;
    this.#list.push(replica);
    if (this.#endOfTurn === undefined || this.#scheduled) return;
    this.#scheduled = true;
    this.#endOfTurn(this.#onTurnEnd);
  }

  /** Whether any replica was touched since this was last asked. */
  takeNews(): boolean {
    const isNews = this.#isNews;
    this.#isNews = false;
    return isNews;
  }

  /** A batch of input is over. */
  batchEnd(): void {
    if (this.#endOfTurn === undefined) this.flush();
  }

  /** Flushes now. */
  flush(): void {
    for (let i = 0; i < this.#list.length; i++) {
      const replica = this.#list[i]!;
      replica.touched = false;
      replica.deliver(FLUSH);
    }
    this.#list.length = 0;
  }

  readonly #onTurnEnd = () => {
    this.#scheduled = false;
    this.flush();
  };
}
