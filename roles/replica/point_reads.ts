// Reads of rows by their keys: few of them at once, between two bytes of the socket; many in slices between which
// others are served, from a snapshot, so that the answer is of one moment all the same. Invariant: no bound of the
// answer is exceeded, and what is missing in it lies behind its last row. docs/data_api.md, "Reads".

import { isExpired, userDataOf } from "../../src/schema/value_format.ts";
import type { Engine, EngineSnapshot } from "../../storage/engine.ts";

/** More keys than this are looked up in slices: 256 warm rows take 0.6 ms. */
export const POINTS_AT_ONCE = 256;
/** Time of a slice. A look at the clock costs 40 ns, a row 2 us. */
const SLICE_MS = 1;

/** What is to be read, and what takes it. */
export interface PointsRequest {
  readonly engine: Engine;
  /** Seconds since 2016. */
  readonly nowSeconds: number;
  /** Monotonic ms. */
  readonly now: () => number;
  readonly count: number;
  readonly keyAt: (i: number) => Uint8Array;
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Takes a living row by the number of its key; returns its bytes. */
  readonly add: (i: number, value: Uint8Array) => number;
}

/**
 * Looks keys up, in order, until a bound is reached.
 *
 * @returns False if a living row was left out because of a bound.
 * @throws {EngineError}
 */
export function readPoints(request: PointsRequest): boolean | Promise<boolean> {
  if (request.count > POINTS_AT_ONCE) return readSliced(request);
  const walk = new Walk(request, request.engine);
  walk.go(Infinity);
  return walk.complete;
}

async function readSliced(request: PointsRequest): Promise<boolean> {
  const snapshot = await snapshotOf(request.engine);
  try {
    const walk = new Walk(request, snapshot);
    do await ownTurn(); while (!walk.go(request.now() + SLICE_MS));
    return walk.complete;
  } finally {
    await snapshot.close();
  }
}

/**
 * Slices that wait: one runs per turn of the event loop, however many requests there are. The turn is that of a timer:
 * this runtime lets immediates and message ports follow each other without looking at its sockets (a ping beside
 * slices of 1 ms took 380 ms and more with them, 5 ms at P99 with timers).
 */
const waiting: (() => void)[] = [];

function ownTurn(): Promise<void> {
  return new Promise((go) => {
    waiting.push(go);
    if (waiting.length === 1) setTimeout(letOneGo, 0);
  });
}

function letOneGo(): void {
  waiting.shift()!();
  if (waiting.length > 0) setTimeout(letOneGo, 0);
}

function snapshotOf(engine: Engine): Promise<EngineSnapshot> {
  return new Promise((resolve, reject) =>
    engine.exclusive(() => {
      try {
        resolve(engine.snapshot());
      } catch (error) {
        reject(error);
      }
    })
  );
}

/** One request on its way through its keys. */
class Walk {
  complete = true;
  readonly #request: PointsRequest;
  readonly #source: Pick<Engine, "get">;
  #at = 0;
  #rows = 0;
  #bytes = 0;

  constructor(request: PointsRequest, source: Pick<Engine, "get">) {
    this.#request = request;
    this.#source = source;
  }

  /** Goes on until `end`, monotonic ms. @returns Whether it has come to its end. */
  go(end: number): boolean {
    const { count, keyAt, nowSeconds, rowsMax, bytesMax, add, now } = this.#request;
    while (this.#at < count) {
      const i = this.#at++;
      const stored = this.#source.get(keyAt(i));
      if (stored !== undefined && !isExpired(stored, nowSeconds)) {
        this.complete = this.#rows < rowsMax && this.#bytes < bytesMax;
        if (!this.complete) return true;
        this.#bytes += add(i, userDataOf(stored));
        this.#rows++;
      }
      if (end !== Infinity && now() > end) return this.#at >= count;
    }
    return true;
  }
}
