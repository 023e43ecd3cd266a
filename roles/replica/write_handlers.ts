// Client writes at the border of a replica server: decoded requests become WriteOps, and what breaks a
// documented limit is refused here, before anything happened. Deciding and executing is the core's business.
// Semantics and limits: docs/data_api.md.

import { ByteSlab } from "../../src/base/byte_slab.ts";
import { Err } from "../../src/base/errors.ts";
import type { WriteRequest } from "../../src/replication/io.ts";
import type { PutRow, WriteOp } from "../../src/replication/write_op.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import {
  CHECK_TYPES,
  CheckAndMutate,
  CheckAndSet,
  Incr,
  MultiPut,
  MultiRemove,
  OpenSession,
  Put,
  Remove,
} from "../../src/schema/client_rpc.ts";
import { encodeKey, HASH_KEY_BYTES_MAX, isUserKey } from "../../src/schema/key_format.ts";
import type { RequestOf, Rpc } from "../../src/schema/rpc.ts";
import {
  checkAndMutateBytes,
  checkAndSetBytes,
  multiPutBytes,
  multiRemoveBytes,
  sizeProblem,
  WRITE_BYTES_MAX,
} from "../../src/schema/write_size.ts";
import type { WriteCall } from "./write_calls.ts";

/** Estimated bytes that a write costs beyond its keys and values. */
const WRITE_OVERHEAD_BYTES = 64;

interface WriteHead {
  readonly partition: number;
  readonly session: number;
  readonly sequence: number;
  readonly answeredBelow: number;
}

type WriteRpc<Q> = Rpc<Q, { readonly decree: number; readonly result: Uint8Array | undefined }>;

/** Takes a checked write for a partition, or answers it. */
export type SubmitWrite = (partition: number, request: WriteRequest, call: WriteCall) => void;

/** What a request asks for, or why it is refused. */
export type Decoded =
  | { readonly op: WriteOp; readonly bytes: number }
  | { readonly error: number; readonly detail: string };

/** Keys of many rows; they go when the write has become a mutation. */
const slab = new ByteSlab();

/** Registers the handlers of all client writes. */
export function registerWrites(server: RpcServer, submit: SubmitWrite): void {
  function write<Q extends WriteHead>(rpc: WriteRpc<Q>, decode: (request: Q) => Decoded): void {
    server.handle(rpc, (request, call) => {
      const decoded = decode(request);
      if ("error" in decoded) return call.fail(decoded.error, decoded.detail);
      submit(request.partition, {
        token: call,
        op: decoded.op,
        session: request.session,
        sequence: request.sequence,
        answeredBelow: request.answeredBelow,
        bytes: decoded.bytes + WRITE_OVERHEAD_BYTES,
      }, call);
    });
  }
  server.handle(OpenSession, (request, call) => {
    const op: WriteOp = { kind: "openSession" };
    const head = { session: 0, sequence: 0, answeredBelow: 0 };
    submit(request.partition, { token: call, op, ...head, bytes: WRITE_OVERHEAD_BYTES }, call);
  });
  write(Put, decodePut);
  write(Remove, decodeRemove);
  write(MultiPut, decodeMultiPut);
  write(MultiRemove, decodeMultiRemove);
  write(Incr, decodeIncr);
  write(CheckAndSet, decodeCheckAndSet);
  write(CheckAndMutate, decodeCheckAndMutate);
}

function invalid(detail: string): Decoded {
  return { error: Err.INVALID_DATA, detail };
}

const BAD_KEY = invalid(
  `Row key is malformed: expected a 2-byte hash key length of at most ${HASH_KEY_BYTES_MAX}, ` +
    "the hash key and the sort key",
);
const BAD_HASH_KEY = invalid(`Hash key is longer than ${HASH_KEY_BYTES_MAX} bytes`);

function checked(op: WriteOp, bytes: number): Decoded {
  const problem = sizeProblem(bytes);
  return problem === undefined ? { op, bytes } : invalid(problem);
}

/** A put is the most frequent request: no intermediate lists. */
export function decodePut(request: RequestOf<typeof Put>): Decoded {
  const { key, value, expireTs } = request;
  if (!isUserKey(key)) return BAD_KEY;
  return checked({ kind: "put", rows: [{ key, value, expireTs }] }, key.length + value.length);
}

function decodeRemove(request: RequestOf<typeof Remove>): Decoded {
  const { key } = request;
  if (!isUserKey(key)) return BAD_KEY;
  return checked({ kind: "remove", keys: [key], returnCount: false }, key.length);
}

export function decodeMultiPut(request: RequestOf<typeof MultiPut>): Decoded {
  const { hashKey, expireTs } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return BAD_HASH_KEY;
  const bytes = multiPutBytes(request);
  // Sizes first: nothing is copied for a request that is refused.
  if (bytes > WRITE_BYTES_MAX) return checked({ kind: "empty" }, bytes);
  const rows = request.rows.map((row): PutRow => {
    return { key: encodeKey(hashKey, row.sortKey, slab), value: row.value, expireTs };
  });
  return checked({ kind: "put", rows }, bytes);
}

export function decodeMultiRemove(request: RequestOf<typeof MultiRemove>): Decoded {
  const { hashKey, sortKeys } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return BAD_HASH_KEY;
  const bytes = multiRemoveBytes(request);
  if (bytes > WRITE_BYTES_MAX) return checked({ kind: "empty" }, bytes);
  const keys = sortKeys.map((sortKey) => encodeKey(hashKey, sortKey));
  return checked({ kind: "remove", keys, returnCount: true }, bytes);
}

function decodeIncr(request: RequestOf<typeof Incr>): Decoded {
  const { key, increment, expireTs } = request;
  if (!isUserKey(key)) return BAD_KEY;
  return checked({ kind: "incr", key, increment, expireTs }, key.length);
}

interface CheckHead {
  readonly hashKey: Uint8Array;
  readonly checkSortKey: Uint8Array;
  readonly checkType: number;
  readonly checkOperand: Uint8Array;
  readonly returnCheckValue: boolean;
}

function decodeCheck(request: CheckHead) {
  const checkType = CHECK_TYPES[request.checkType];
  if (checkType === undefined) return undefined;
  const { checkOperand, returnCheckValue } = request;
  const checkKey = encodeKey(request.hashKey, request.checkSortKey);
  return { checkKey, checkType, checkOperand, returnCheckValue };
}

function badCheckType(checkType: number): Decoded {
  const detail = `Check type is ${checkType}: expected 0 to ${CHECK_TYPES.length - 1}`;
  return { error: Err.INVALID_ARGUMENT, detail };
}

export function decodeCheckAndSet(request: RequestOf<typeof CheckAndSet>): Decoded {
  const { hashKey, setValue: value, expireTs, checkSortKey } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return BAD_HASH_KEY;
  const check = decodeCheck(request);
  if (check === undefined) return badCheckType(request.checkType);
  const key = encodeKey(hashKey, request.setSortKey ?? checkSortKey);
  const op: WriteOp = { kind: "checkAndSet", row: { key, value, expireTs }, ...check };
  return checked(op, checkAndSetBytes(request));
}

export function decodeCheckAndMutate(request: RequestOf<typeof CheckAndMutate>): Decoded {
  const { hashKey } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return BAD_HASH_KEY;
  const check = decodeCheck(request);
  if (check === undefined) return badCheckType(request.checkType);
  const bytes = checkAndMutateBytes(request);
  if (bytes > WRITE_BYTES_MAX) return checked({ kind: "empty" }, bytes);
  const mutations = request.mutations.map(({ kind, sortKey, value, expireTs }) => {
    const key = encodeKey(hashKey, sortKey);
    return kind === "put" ? { key, value, expireTs } : { key, remove: true } as const;
  });
  return checked({ kind: "checkAndMutate", mutations, ...check }, bytes);
}
