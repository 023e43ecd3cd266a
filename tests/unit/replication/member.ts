// One server's replica in a story: its core, an engine that applies at once, a log that can be held back, and what
// survives a crash. Part of group.ts.

import { Err } from "../../../src/base/errors.ts";
import { fromUtf8, toHex, utf8 } from "../../../src/base/bytes.ts";
import type {
  PhysicalOp,
  RecoveredState,
  ReplicaEffect,
  Translation,
  WriteTranslator,
} from "../../../src/replication/io.ts";
import type { ReplicaCore } from "../../../src/replication/replica.ts";
import type { WriteOp } from "../../../src/replication/write_op.ts";
import { decodeMutation, type Mutation } from "../../../src/schema/mutation.ts";
import { readBody } from "../../../src/schema/mutation_body.ts";

export type LogRecord = Extract<ReplicaEffect, { kind: "append" }>["record"];

/** One server's replica: its core and what survives the core. */
export class Member implements WriteTranslator {
  core: ReplicaCore | undefined;
  incarnation = 1;
  rows = new Map<string, Uint8Array>();
  log: LogRecord[] = [];
  /** Appends not yet durable; `holdLog` keeps them here. */
  unsynced: { token: number; record: LogRecord }[] = [];
  holdLog = false;
  durable = 0;
  /** From this decree on the log holds everything. */
  logFirstDecree = 1;
  durableSessions: Uint8Array = new Uint8Array(0);
  durableRows = new Map<string, Uint8Array>();
  notes: string[] = [];
  connected = true;
  /** Nobody can read the row of this key. */
  damagedKey: string | undefined;

  constructor(readonly name: string) {}

  translate(
    op: WriteOp,
    _timestampUs: number,
    pending: { lookup(key: Uint8Array): Uint8Array | null | undefined },
    ops: PhysicalOp[],
  ): Translation {
    if (op.kind === "put") {
      for (const { key, value } of op.rows) ops.push({ key, value });
      return { error: Err.OK, result: undefined };
    }
    if (op.kind === "incr") {
      if (fromUtf8(op.key) === this.damagedKey) throw new Error("A row is damaged");
      const own = ops.findLast((o) => toHex(o.key) === toHex(op.key));
      const held = own !== undefined
        ? own.value
        : pending.lookup(op.key) ?? this.rows.get(toHex(op.key));
      const value = BigInt(held === undefined ? "0" : fromUtf8(held)) + op.increment;
      ops.push({ key: op.key, value: utf8(String(value)) });
      return { error: Err.OK, result: utf8(String(value)) };
    }
    return { error: Err.OK, result: undefined };
  }
}

/** Applies a mutation to the rows of a member. */
export function applyTo(rows: Map<string, Uint8Array>, mutation: Mutation): void {
  readBody(mutation.body, {
    put: (key, value) => void rows.set(toHex(key), value),
    remove: (key) => void rows.delete(toHex(key)),
  });
}

/** The newest logged version of a decree. */
export function newest(log: LogRecord[], decree: number): Mutation | undefined {
  const record = log.findLast((r) => r.kind === "mutation" && r.decree === decree);
  return record?.kind === "mutation" ? decodeMutation(record.payload) : undefined;
}

/** What storage/recovery.ts does, in a few lines: replay the log above the durable image. */
export function recover(member: Member): RecoveredState {
  let ballot = 0;
  let committed = member.durable;
  const tail = new Map<number, Mutation>();
  for (const record of member.log) {
    if (record.kind === "ballot") {
      ballot = Math.max(ballot, record.ballot);
      for (const [d, m] of tail) {
        if (d > record.reconcileEnd && m.ballot < record.ballot) tail.delete(d);
      }
      continue;
    }
    const mutation = decodeMutation(record.payload)!;
    ballot = Math.max(ballot, mutation.ballot);
    committed = Math.max(committed, mutation.lastCommitted);
    if (mutation.decree > member.durable) tail.set(mutation.decree, mutation);
  }
  member.rows = new Map(member.durableRows);
  return {
    ballot,
    applied: member.durable,
    durable: member.durable,
    committed,
    tail: [...tail.values()].sort((a, b) => a.decree - b.decree),
    sessions: member.durableSessions,
    existed: true,
  };
}
