// What a restarted simulated server finds on its disk: first the private log, then from the shared log
// whatever continues it without a gap (storage/recovery.ts is the real one and has its own tests).

import type { RecoveredState } from "../../src/replication/io.ts";
import { decodeMutation, type Mutation } from "../../src/schema/mutation.ts";
import { type LogRecord, RecordKind } from "../../storage/log.ts";
import type { ReplicaFiles } from "./model_disk.ts";
import { applyRecord, readBallotPayload } from "./sim_replica.ts";

/** Result of {@link recover}. */
export interface Recovery {
  readonly state: RecoveredState;
  readonly lastSequence: number;
  /** Why the replica may not come back; undefined if it may. */
  readonly condemned: string | undefined;
}

/** Rebuilds a replica's state and completes its private log from the shared one. */
export function recover(files: ReplicaFiles, shared: readonly LogRecord[]): Recovery {
  const { generation, durable } = files.manifest;
  let last = files.privateLog.at(-1)?.sequence ?? files.coveredSequence;
  let condemned: string | undefined;
  for (const record of shared) {
    if (record.partition !== files.partition || record.generation !== generation) continue;
    if (record.sequence <= last) continue;
    if (record.sequence !== last + 1) {
      condemned ??= `Log has a gap after ${last}: next is ${record.sequence}`;
      break;
    }
    files.privateLog.push(record);
    last = record.sequence;
  }
  let { ballot } = files.manifest;
  let committed = durable;
  let mutationBallot = 0;
  const newest = new Map<number, { ballot: number; payload: Uint8Array }>();
  for (const record of files.privateLog) {
    applyRecord(newest, record);
    if (record.kind === RecordKind.BALLOT) {
      ballot = Math.max(ballot, readBallotPayload(record.payload).ballot);
    } else {
      const mutation = decodeMutation(record.payload)!;
      ballot = Math.max(ballot, mutation.ballot);
      mutationBallot = Math.max(mutationBallot, mutation.ballot);
      committed = Math.max(committed, mutation.lastCommitted);
    }
  }
  const tail: Mutation[] = [];
  for (const decree of [...newest.keys()].sort((a, b) => a - b)) {
    if (decree > durable) tail.push(decodeMutation(newest.get(decree)!.payload)!);
  }
  let contiguous = durable;
  for (const mutation of tail) if (mutation.decree === contiguous + 1) contiguous++;
  if (files.engine.applied > contiguous) {
    condemned ??= `Engine holds ${files.engine.applied}, the log only ${contiguous}`;
  }
  const state: RecoveredState = {
    ballot,
    applied: durable,
    durable,
    mutationBallot,
    committed: Math.min(committed, contiguous),
    tail,
    sessions: files.engine.sessions.image,
    existed: true,
  };
  return { state, lastSequence: last, condemned };
}
