// The operations of one batch as places in the bodies of its mutations: an object and two views for each of them cost
// more than the rows. Invariant: the bodies must not change while somebody reads the operations.

import { readPlaces, REMOVED } from "../src/schema/mutation_body.ts";
import type { BatchOp } from "./engine.ts";

/** Numbers per operation, as readPlaces() gives them. */
export const PLACE = 4;

/** See the file comment. */
export class PackedOps implements Iterable<BatchOp> {
  readonly bodies: Uint8Array[] = [];
  /** Of each body: how many numbers there are up to its last operation. */
  readonly ends: number[] = [];
  /** See readPlaces(). */
  readonly places: number[] = [];

  /** Adds those of a body. @returns False if it is not whole: nothing may be used then. */
  addBody(body: Uint8Array): boolean {
    const isWhole = readPlaces(body, this.places);
    this.bodies.push(body);
    this.ends.push(this.places.length);
    return isWhole;
  }

  /** Adds the put of a key and a value that follow each other in `bytes`. */
  addPut(bytes: Uint8Array, keyLength: number): void {
    this.places.push(0, keyLength, keyLength, bytes.length - keyLength);
    this.bodies.push(bytes);
    this.ends.push(this.places.length);
  }

  /** In order; keys and values are views. */
  *[Symbol.iterator](): Iterator<BatchOp> {
    const { places } = this;
    for (let i = 0, at = 0; i < this.bodies.length; i++) {
      const body = this.bodies[i]!;
      for (; at < this.ends[i]!; at += PLACE) {
        const key = body.subarray(places[at]!, places[at]! + places[at + 1]!);
        const start = places[at + 2]!;
        const length = places[at + 3]!;
        yield length === REMOVED
          ? { type: "del", key }
          : { type: "put", key, value: body.subarray(start, start + length) };
      }
    }
  }
}
