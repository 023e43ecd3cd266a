// What one replica held when its process ended, from the records of its two logs. Pure: the driver
// around it (recover_shard.ts) does the reading. Invariant: what comes out is a prefix of what was
// logged, with nothing confirmed missing, or the replica is condemned; never a wrong record.
// docs/log_format.md, "Replay".

import type { Ballot, Decree, PartitionId } from "../src/base/ids.ts";
import { decodeMutation, type Mutation } from "../src/schema/mutation.ts";
import { decodeBallot } from "./log_format.ts";
import { type LogDamage, type LogRecord, RecordKind } from "./log.ts";

/** What the manifest says. */
export interface RecoveryStart {
  readonly partition: PartitionId;
  readonly generation: number;
  readonly ballot: Ballot;
  readonly durable: Decree;
  readonly syncedSequence: number;
}

/** What a replica starts from. */
export interface RecoveryResult {
  readonly ballot: Ballot;
  /** Highest decree known committed and present without a hole; at least the durable one. */
  readonly committed: Decree;
  /**
   * Above the durable decree, ascending, newest version of each; without holes up to `committed`.
   */
  readonly mutations: readonly Mutation[];
  readonly lastSequence: number;
  /** Largest ballot of a mutation in the logs; 0 = they hold none. */
  readonly mutationBallot: Ballot;
  /** What the logs end in may have been confirmed and damaged since (§12.6). */
  readonly tornTail: boolean;
  /** Why this replica must not be used; the other fields mean nothing then. */
  readonly condemned?: string;
}

/** Collects the records of one replica: the whole private log, then the shared logs. */
export class ReplicaRecovery {
  readonly #partition: PartitionId;
  readonly #generation: number;
  readonly #durable: Decree;
  readonly #syncedSequence: number;
  readonly #tail = new Map<Decree, Mutation>();
  #ballot: Ballot;
  #lastCommitted: Decree = 0;
  #mutationBallot: Ballot = 0;
  /** Of the first private record; `undefined` as long as there was none. */
  #firstSequence: number | undefined;
  #lastSequence = 0;
  /** Damage in the shared log that may hide records of this replica. */
  #suspect: LogDamage | undefined;
  #privateTorn = false;
  #sharedTorn = false;
  #condemned: string | undefined;

  constructor(start: RecoveryStart) {
    this.#partition = start.partition;
    this.#generation = start.generation;
    this.#durable = start.durable;
    this.#syncedSequence = start.syncedSequence;
    this.#ballot = start.ballot;
  }

  /** Takes the next record of the private log. */
  privateRecord(record: LogRecord): void {
    if (record.partition !== this.#partition || record.generation !== this.#generation) {
      return this.#condemn("The private log holds a record of another replica or generation");
    }
    if (this.#firstSequence === undefined) {
      this.#firstSequence = record.sequence;
    } else if (record.sequence !== this.#lastSequence + 1) {
      return this.#condemn(
        `The private log goes from sequence ${this.#lastSequence} to ${record.sequence}`,
      );
    }
    this.#take(record);
  }

  /** Ends the private log. Records of the shared logs may follow. */
  privateEnd(
    log: {
      readonly previousSequence: number;
      readonly previousDecree: Decree;
      readonly damage: readonly LogDamage[];
      readonly torn: boolean;
    },
  ): void {
    const { previousSequence, previousDecree } = log;
    this.#privateTorn = log.torn;
    const damage = log.damage[0];
    if (damage !== undefined) {
      return this.#condemn(
        `The private log is damaged: ${damage.reason} ("${damage.file}" at ${damage.offset})`,
      );
    }
    if (this.#firstSequence === undefined) {
      this.#lastSequence = previousSequence;
    } else if (this.#firstSequence !== previousSequence + 1) {
      return this.#condemn(
        `The private log starts at sequence ${this.#firstSequence}, expected ${
          previousSequence + 1
        }`,
      );
    }
    if (previousDecree > this.#durable) {
      this.#condemn(
        `The private log was collected up to decree ${previousDecree}, the engine is durable at ` +
          `${this.#durable} only`,
      );
    }
  }

  /**
   * Takes the next record of a shared log; those of other replicas and generations are none of
   * ours.
   *
   * @returns True if it continues the private log, to which it must be appended.
   */
  sharedRecord(record: LogRecord): boolean {
    if (record.partition !== this.#partition || record.generation !== this.#generation) {
      return false;
    }
    if (this.#condemned !== undefined) return false;
    if (record.sequence > this.#lastSequence + 1) {
      this.#condemn(
        `The shared log goes on at sequence ${record.sequence}, the last one is ` +
          `${this.#lastSequence}`,
      );
      return false;
    }
    // A record behind the damage that fits: nothing before it is missing.
    this.#suspect = undefined;
    // What the private log lost at its end would follow here.
    if (record.sequence >= this.#lastSequence) this.#privateTorn = false;
    if (record.sequence <= this.#lastSequence) return false;
    this.#take(record);
    return true;
  }

  /**
   * A shared log lost an unknown part here: unless proven otherwise, records of this replica too.
   */
  sharedDamage(damage: LogDamage): void {
    this.#suspect = damage;
  }

  /** A shared log ends in bytes that are no records: they may have been some of this replica. */
  sharedTorn(): void {
    this.#sharedTorn = true;
  }

  /**
   * A shared segment begins whose table is whole.
   *
   * @param sequence What the table says of this replica and generation; 0 if it is not in it.
   */
  sharedTable(sequence: number): void {
    if (sequence > this.#lastSequence) {
      this.#condemn(
        `The shared log held records up to sequence ${sequence}, the last one found is ` +
          `${this.#lastSequence}`,
      );
    }
    this.#suspect = undefined;
  }

  /** Ends one shared log. */
  sharedEnd(): void {
    const damage = this.#suspect;
    this.#suspect = undefined;
    if (damage === undefined) return;
    this.#condemn(
      `Records may be lost in the shared log: ${damage.reason} ("${damage.file}" at ` +
        `${damage.offset})`,
    );
  }

  result(): RecoveryResult {
    if (this.#lastSequence < this.#syncedSequence) {
      this.#condemn(
        `The logs end at sequence ${this.#lastSequence}, the manifest knows of ` +
          `${this.#syncedSequence}`,
      );
    }
    const mutations = [...this.#tail.values()].sort((a, b) => a.decree - b.decree);
    let present = this.#durable;
    for (const { decree } of mutations) {
      if (decree !== present + 1) break;
      present = decree;
    }
    const result: RecoveryResult = {
      ballot: this.#ballot,
      committed: Math.max(this.#durable, Math.min(this.#lastCommitted, present)),
      mutations,
      lastSequence: this.#lastSequence,
      mutationBallot: this.#mutationBallot,
      tornTail: this.#privateTorn || this.#sharedTorn,
    };
    return this.#condemned === undefined ? result : { ...result, condemned: this.#condemned };
  }

  #condemn(reason: string): void {
    this.#condemned ??= reason;
  }

  #take(record: LogRecord): void {
    this.#lastSequence = record.sequence;
    if (record.kind === RecordKind.BALLOT) this.#takeBallot(record.payload);
    else this.#takeMutation(record);
  }

  #takeBallot(payload: Uint8Array): void {
    const adopted = decodeBallot(payload);
    if (adopted === undefined) return this.#condemn("A ballot record cannot be decoded");
    this.#ballot = Math.max(this.#ballot, adopted.ballot);
    for (const { decree, ballot } of this.#tail.values()) {
      if (decree > adopted.reconcileEnd && ballot < adopted.ballot) this.#tail.delete(decree);
    }
  }

  #takeMutation(record: LogRecord): void {
    const head = decodeMutation(record.payload);
    if (head === undefined || head.decree !== record.decree) {
      return this.#condemn("A mutation record cannot be decoded");
    }
    this.#ballot = Math.max(this.#ballot, head.ballot);
    this.#mutationBallot = Math.max(this.#mutationBallot, head.ballot);
    this.#lastCommitted = Math.max(this.#lastCommitted, head.lastCommitted);
    if (head.decree <= this.#durable) return;
    const held = this.#tail.get(head.decree);
    if (held !== undefined && held.ballot > head.ballot) return;
    // The payload is a view into a whole segment, which must not live as long as the mutation.
    this.#tail.set(head.decree, { ...head, body: head.body.slice() });
  }
}
