// What one server has made durable of one partition's log, as the judge knows it: the newest version of
// every mutation, the promised ballot, and where an image replaced the rest.

import type { NodeId } from "../../src/base/ids.ts";
import type { RecoveredState } from "../../src/replication/io.ts";
import { decodeMutation, type Mutation } from "../../src/schema/mutation.ts";
import { type LogRecord, RecordKind } from "../../storage/log.ts";
import { Violation } from "./env.ts";
import { bytesHash } from "./model_engine.ts";
import { readBallotPayload } from "./sim_replica.ts";

/** Names a payload whatever ballot carries it: timestamp and body. */
export function payloadId(mutation: Mutation): string {
  return `${mutation.timestampUs}/${mutation.body.length}/${bytesHash(mutation.body)}`;
}

/** See the file comment. */
export class HeldLog {
  readonly #entries = new Map<number, { ballot: number; payload: string }>();
  /** Payloads that were durable and acknowledged here until bits flipped: who heard the ack counts on them. */
  readonly #rotted = new Map<number, string>();
  /** Everything up to here came with an image or is in the durable engine. */
  #base = 0;
  ballot = 0;
  generation = 0;

  add(record: LogRecord): void {
    if (record.generation !== this.generation) return;
    if (record.kind === RecordKind.BALLOT) {
      const { ballot, reconcileEnd } = readBallotPayload(record.payload);
      this.ballot = Math.max(this.ballot, ballot);
      for (const [decree, entry] of this.#entries) {
        if (decree > reconcileEnd && entry.ballot < ballot) this.#entries.delete(decree);
      }
      return;
    }
    const mutation = decodeMutation(record.payload)!;
    this.ballot = Math.max(this.ballot, mutation.ballot);
    const held = this.#entries.get(mutation.decree);
    if (held !== undefined && held.ballot > mutation.ballot) return;
    this.#entries.set(mutation.decree, { ballot: mutation.ballot, payload: payloadId(mutation) });
  }

  get(decree: number): { ballot: number; payload: string } | undefined {
    return this.#entries.get(decree);
  }

  /** Whether the decree is here with this payload. */
  holds(decree: number, payload: string): boolean {
    return decree <= this.#base || this.#entries.get(decree)?.payload === payload;
  }

  /** Whether rot took the decree with this payload from here. */
  hasRotted(decree: number, payload: string): boolean {
    return this.#rotted.get(decree) === payload;
  }

  /** An image replaced everything. */
  reset(base: number, ballot: number, generation: number): void {
    this.#entries.clear();
    this.#base = base;
    this.ballot = ballot;
    this.generation = generation;
  }

  /** S10: nothing that was durable may be missing after a restart. */
  checkRecovered(node: NodeId, state: RecoveredState): void {
    const details = () => ({ node, recovered: state.ballot, log: this.describe() });
    if (state.ballot < this.ballot) {
      throw new Violation("S10", "The ballot went back over a restart", details());
    }
    const recovered = new Map(state.tail.map((mutation) => [mutation.decree, mutation]));
    for (const [decree, entry] of this.#entries) {
      if (decree <= state.applied) continue;
      const mutation = recovered.get(decree);
      if (mutation !== undefined && mutation.ballot >= entry.ballot) continue;
      // A truncation that was written but not yet reported durable may have survived.
      if (mutation === undefined && state.ballot > entry.ballot) continue;
      throw new Violation("S10", `Durable decree ${decree} is missing after a restart`, details());
    }
  }

  /**
   * Takes over what a restart found. Without fsync what the power took was nevertheless acknowledged, and counts as
   * held: by the policy's standard it was durable.
   *
   * @param hasRotted Whether bits may have flipped in what is missing now.
   */
  restore(state: RecoveredState, fsync: boolean, hasRotted: boolean): void {
    this.#base = Math.max(this.#base, state.applied);
    for (const [decree, { payload }] of [...this.#entries]) {
      if (decree <= this.#base || !fsync) continue;
      this.#entries.delete(decree);
      if (hasRotted) this.#rotted.set(decree, payload);
    }
    for (const mutation of state.tail) {
      this.#entries.set(mutation.decree, { ballot: mutation.ballot, payload: payloadId(mutation) });
    }
    // A promise goes with the bits that held it.
    this.ballot = hasRotted ? state.ballot : Math.max(this.ballot, state.ballot);
  }

  describe(): Record<string, unknown> {
    const newest = [...this.#entries].slice(-6).map(([decree, { ballot }]) =>
      `${decree}@${ballot}`
    );
    return { base: this.#base, ballot: this.ballot, newest };
  }
}
