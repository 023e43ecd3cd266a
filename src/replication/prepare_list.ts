// The mutations a replica holds in memory: the uncommitted window above the commit point and what is not applied yet,
// as entries; below them a stretch of applied ones kept for learners, as bytes (mutation_cache.ts). Nothing above the
// commit point may be forgotten, and an entry is only ever replaced by one of a larger ballot. Rules:
// docs/protocol.md, "Prepare" and "Takeover".

import { assert } from "../base/assert.ts";
import type { Ballot, Decree } from "../base/ids.ts";
import { encodeMutation, type Mutation, MUTATION_HEAD_BYTES } from "../schema/mutation.ts";
import type { Token } from "./io.ts";
import { MutationCache } from "./mutation_cache.ts";

/** A client waiting for a mutation, and what to tell it. */
export interface PendingReply {
  readonly tokens: Token[];
  readonly session: number;
  readonly sequence: number;
  readonly error: number;
  readonly result: Uint8Array | undefined;
}

/** One decree of the list. */
export interface Entry {
  readonly mutation: Mutation;
  /** The mutation's one encoding, shared by wire and logs. */
  readonly encoded: Uint8Array;
  /** Token of the append effect that makes this version durable. */
  readonly token: number;
  /** Whether this version is durable in the own log. */
  logged: boolean;
  /** When the primary first sent this version, monotonic ms. */
  readonly preparedAt: number;
  /** Clients to answer when the decree is applied; only on the primary that took the requests. */
  replies: PendingReply[];
}

/** See the file comment. */
export class PrepareList {
  readonly #entries = new Map<Decree, Entry>();
  #committed: Decree;
  #maxPrepared: Decree;
  /** Applied ones. Everything in (#cache.low, #committed] is in the cache or has an entry, never both. */
  readonly #cache: MutationCache;
  /** Bytes of all entries. */
  #entryBytes = 0;
  #newestBallot: Ballot;
  #committedBallot: Ballot;

  /**
   * @param committed The commit point to start from; the list is empty.
   * @param newestBallot Of the mutations up to there, as far as known.
   */
  constructor(committed: Decree, newestBallot: Ballot = 0) {
    this.#newestBallot = newestBallot;
    this.#committedBallot = newestBallot;
    this.#committed = committed;
    this.#maxPrepared = committed;
    this.#cache = new MutationCache(committed);
  }

  /** Highest decree known committed. */
  get committed(): Decree {
    return this.#committed;
  }

  /** Highest decree held, holes ignored; at least the commit point. */
  get maxPrepared(): Decree {
    return this.#maxPrepared;
  }

  /** Largest ballot of any mutation ever held: how far into the history of reigns this replica took part. */
  get newestBallot(): Ballot {
    return this.#newestBallot;
  }

  /** Entries between commit point and newest, holes included. */
  get inflight(): number {
    return this.#maxPrepared - this.#committed;
  }

  /** The entry of a mutation that is not applied yet. */
  get(decree: Decree): Entry | undefined {
    return this.#entries.get(decree);
  }

  /** Encoded bytes of any mutation in memory, not to be written to. */
  encoded(decree: Decree): Uint8Array | undefined {
    return this.#cache.get(decree) ?? this.#entries.get(decree)?.encoded;
  }

  /** At least the ballot under which the commit point was committed, and none that came later. */
  get committedBallot(): Ballot {
    return this.#committedBallot;
  }

  /** Adds a mutation above the commit point, or replaces one of a smaller ballot; keeps its waiting clients. */
  put(mutation: Mutation, encoded: Uint8Array, token: number, now: number): Entry {
    const { decree, ballot } = mutation;
    assert(decree > this.#committed, "A committed decree is replaced", {
      decree,
      committed: this.#committed,
    });
    const old = this.#entries.get(decree);
    assert(old === undefined || old.mutation.ballot <= ballot, "The ballot of an entry goes back", {
      decree,
      ballot,
      held: old?.mutation.ballot,
    });
    const entry: Entry = {
      mutation,
      encoded,
      token,
      logged: false,
      preparedAt: now,
      replies: old?.replies ?? [],
    };
    if (old !== undefined) this.#entryBytes -= old.encoded.length;
    this.#entryBytes += encoded.length;
    this.#entries.set(decree, entry);
    if (decree > this.#maxPrepared) this.#maxPrepared = decree;
    if (ballot > this.#newestBallot) this.#newestBallot = ballot;
    return entry;
  }

  /** Moves the commit point to the next decree, which must be held and logged. */
  commitNext(): Entry {
    const entry = this.#entries.get(this.#committed + 1);
    assert(entry !== undefined && entry.logged, "Commit of a decree that is not logged", {
      decree: this.#committed + 1,
    });
    this.#committed++;
    this.#committedBallot = entry.mutation.ballot;
    return entry;
  }

  /**
   * Highest decree up to which every entry above the commit point is held, logged and of a ballot not below
   * its predecessor's (§1 last_prepared).
   */
  get lastPrepared(): Decree {
    let decree = this.#committed;
    let ballot = 0;
    for (;;) {
      const next = this.#entries.get(decree + 1);
      if (next === undefined || !next.logged || next.mutation.ballot < ballot) return decree;
      ballot = next.mutation.ballot;
      decree++;
    }
  }

  /** Highest decree up to which every entry above the commit point is held. */
  get contiguousEnd(): Decree {
    let decree = this.#committed;
    while (this.#entries.has(decree + 1)) decree++;
    return decree;
  }

  /** Whether every decree of [from, to] is in memory. */
  covers(from: Decree, to: Decree): boolean {
    if (from > to) return true;
    if (from <= this.#cache.low) return false;
    for (let decree = Math.max(from, this.#committed + 1); decree <= to; decree++) {
      if (!this.#entries.has(decree)) return false;
    }
    return true;
  }

  /**
   * Drops entries above `end` whose ballot is below `ballot`: the ghost tail of an earlier primary (§10).
   *
   * @returns The dropped entries.
   */
  truncate(end: Decree, ballot: Ballot): Entry[] {
    const dropped: Entry[] = [];
    let max = this.#committed;
    for (let decree = this.#committed + 1; decree <= this.#maxPrepared; decree++) {
      const entry = this.#entries.get(decree);
      if (entry === undefined) continue;
      if (decree > end && entry.mutation.ballot < ballot) {
        this.#forget(decree, entry);
        dropped.push(entry);
      } else max = decree;
    }
    this.#maxPrepared = max;
    return dropped;
  }

  /** Forgets everything above `applied` and moves the commit point back to it; keeps the cache below (§11.2). */
  rewind(applied: Decree): Entry[] {
    assert(applied <= this.#committed, "Rewind beyond the commit point", { applied });
    const dropped: Entry[] = [];
    for (let decree = applied + 1; decree <= this.#maxPrepared; decree++) {
      const entry = this.#entries.get(decree);
      if (entry === undefined) continue;
      this.#forget(decree, entry);
      dropped.push(entry);
    }
    this.#committed = applied;
    this.#maxPrepared = applied;
    return dropped;
  }

  /** Moves applied entries to the cache, and forgets the oldest there until both limits hold. */
  trim(applied: Decree, countMax: number, bytesMax: number): void {
    const cache = this.#cache;
    while (cache.high < applied) {
      const decree = cache.high + 1;
      const entry = this.#entries.get(decree)!;
      cache.push(decree, entry.encoded);
      this.#forget(decree, entry);
    }
    while (
      cache.low < applied &&
      (applied - cache.low > countMax || cache.bytes + this.#entryBytes > bytesMax)
    ) cache.shift();
  }

  #forget(decree: Decree, entry: Entry): void {
    this.#entries.delete(decree);
    this.#entryBytes -= entry.encoded.length;
  }
}

/** The same payload under another ballot: what a new primary prepares again (§10.2). */
export function reballoted(mutation: Mutation, ballot: Ballot, lastCommitted: Decree): Mutation {
  return { ...mutation, ballot, lastCommitted };
}

/** An entry's bytes, encoded once. */
export function encodedOf(mutation: Mutation): Uint8Array {
  const encoded = encodeMutation(mutation);
  assert(encoded.length === MUTATION_HEAD_BYTES + mutation.body.length, "Encoding is off");
  return encoded;
}
