// Records and helpers shared by the tests of the logs. Every record carries bytes that say which
// one it is, so that a record in the wrong place cannot pass for the right one. docs/log_format.md,
// "Record".

import type { LogRecord } from "../../../storage/log.ts";
import { RecordKind } from "../../../storage/log.ts";
import { encodeBallot } from "../../../storage/log_format.ts";
import { encodeMutation } from "../../../src/schema/mutation.ts";
import type { MemoryFiles } from "../../sim/memory_files.ts";

/** Partition 1.0. */
export const PARTITION = 65536;

/** A mutation record; the payload says who it is, so that a mix-up cannot pass. */
export function mutationRecord(
  sequence: number,
  options: {
    partition?: number;
    generation?: number;
    decree?: number;
    ballot?: number;
    lastCommitted?: number;
    bytes?: number;
  } = {},
): LogRecord {
  const { partition = PARTITION, generation = 1, decree = sequence, ballot = 1 } = options;
  const body = new Uint8Array(options.bytes ?? 40).fill((sequence * 7 + decree) & 0xff);
  const lastCommitted = options.lastCommitted ?? 0;
  const mutation = { ballot, decree, lastCommitted, timestampUs: sequence, body };
  const payload = encodeMutation(mutation);
  return { partition, generation, sequence, kind: RecordKind.MUTATION, decree, payload };
}

/** A ballot record. */
export function ballotRecord(
  sequence: number,
  ballot: number,
  reconcileEnd: number,
  partition = PARTITION,
): LogRecord {
  return {
    partition,
    generation: 1,
    sequence,
    kind: RecordKind.BALLOT,
    decree: 0,
    payload: encodeBallot(ballot, reconcileEnd),
  };
}

/** A copy that does not share bytes with a segment. */
export function copyRecord(record: LogRecord): LogRecord {
  return { ...record, payload: record.payload.slice() };
}

/** All files below a directory and their bytes. */
export function tree(files: MemoryFiles, dir: string): Map<string, Uint8Array> {
  return new Map(files.list(dir).map((name) => [name, files.readFile(`${dir}/${name}`)]));
}

/** A disk that holds exactly these files in `dir`, durably. */
export async function restoreTree(
  files: MemoryFiles,
  dir: string,
  contents: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  files.makeDir(dir);
  for (const [name, bytes] of contents) {
    files.open(`${dir}/${name}`, "create").close();
    files.overwrite(`${dir}/${name}`, bytes);
  }
  await files.syncDir(dir);
}
