// The few numbers the threads of a replica server share: the lease (LeaseGate, first 16 bytes), and one sign of
// life per shard. Invariant: while a shard's event loop stands still, the server sends no beacons, so that meta
// gives the partitions of all its shards to others: a server that is half dead must look dead.

/** Bytes before the signs of life. */
const LEASE_BYTES = 16;
/** Looks of the control part without a sign after which a shard counts as stuck: 5 s at 50 ms. */
const LOOKS_STUCK = 100;
/** And after which it is given up: 60 s. What holds a thread for so long does not end. */
const LOOKS_LOST = 1200;

/** Memory for so many shards; without shards of other threads it need not be shared. */
export function makeMemory(shardCount: number): SharedArrayBuffer {
  return new SharedArrayBuffer(LEASE_BYTES + 4 * shardCount);
}

function beatsIn(memory: SharedArrayBuffer): Int32Array {
  return new Int32Array(memory, LEASE_BYTES);
}

/** Shows that the event loop of a shard turns; called from its timer. */
export function beat(memory: SharedArrayBuffer, shard: number): void {
  Atomics.add(beatsIn(memory), shard, 1);
}

/** How a watched server is. */
export type Health =
  | { readonly kind: "well" }
  | { readonly kind: "stuck" | "lost"; readonly shard: number };

const WELL: Health = { kind: "well" };

/** The control part's look at the signs of life. It counts its own looks, so that a suspended process, whose
 * threads all stood still, convicts nobody. */
export class Watch {
  readonly #beats: Int32Array;
  readonly #seen: Int32Array;
  readonly #silent: number[];

  constructor(memory: SharedArrayBuffer) {
    this.#beats = beatsIn(memory);
    this.#seen = new Int32Array(this.#beats.length);
    this.#silent = new Array(this.#beats.length).fill(0);
  }

  /** Called at every tick of the control part. */
  look(): Health {
    let worst = -1;
    for (let shard = 0; shard < this.#seen.length; shard++) {
      const now = Atomics.load(this.#beats, shard);
      this.#silent[shard] = now === this.#seen[shard] ? this.#silent[shard]! + 1 : 0;
      this.#seen[shard] = now;
      if (worst < 0 || this.#silent[shard]! > this.#silent[worst]!) worst = shard;
    }
    const looks = this.#silent[worst] ?? 0;
    if (looks < LOOKS_STUCK) return WELL;
    return { kind: looks < LOOKS_LOST ? "stuck" : "lost", shard: worst };
  }
}
