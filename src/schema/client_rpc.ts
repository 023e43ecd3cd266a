// What clients ask replica servers. Codes 100-149. Every request names its partition first. Exact
// semantics, limits and errors: docs/data_api.md.

import {
  bool,
  bytes,
  choice,
  i53,
  i64,
  list,
  type Of,
  optional,
  str,
  struct,
  u16,
  u32,
  u53,
  u8,
  withDefault,
} from "./field.ts";
import * as hot from "./hot_codec.ts";
import { defineRpc } from "./rpc.ts";
import { rowBlock } from "./row_block.ts";
import { filter } from "./types.ts";

/**
 * Head of every write. A `session` of 0 switches exactly-once off for this request; otherwise
 * (session, sequence) names the operation for ever, and every sequence below `answeredBelow` has been
 * answered to the application, so that the partition may forget its result.
 */
const writeHead = { partition: u53, session: u53, sequence: u53, answeredBelow: u53 };

/** Answer to every write: its decree, and what the operation returned, if it returns anything. */
const writeResponse = { decree: u53, result: optional(bytes) };

/** Opens an exactly-once session in one partition; the session's number is the decree of this write. */
export const OpenSession = defineRpc({
  code: 100,
  name: "open_session",
  request: { partition: u53 },
  response: writeResponse,
});

export const Put = defineRpc({
  code: 101,
  name: "put",
  request: {
    ...writeHead,
    key: bytes,
    value: bytes,
    /** 0 = never, else seconds since 2016 */ expireTs: u32,
  },
  response: writeResponse,
  hot: { request: hot.putRequest, response: hot.writeResponse },
});

export const Remove = defineRpc({
  code: 102,
  name: "remove",
  request: { ...writeHead, key: bytes },
  response: writeResponse,
});

export const sortKeyValue = struct({ sortKey: bytes, value: bytes });

export const MultiPut = defineRpc({
  code: 103,
  name: "multi_put",
  request: { ...writeHead, hashKey: bytes, rows: list(sortKeyValue, 100_000), expireTs: u32 },
  response: writeResponse,
  hot: { request: hot.multiPutRequest, response: hot.writeResponse },
});

export const MultiRemove = defineRpc({
  code: 104,
  name: "multi_remove",
  request: { ...writeHead, hashKey: bytes, sortKeys: list(bytes, 100_000) },
  response: writeResponse,
});
/** `result` of {@link MultiRemove}: how many sort keys were asked to be removed; of a sweep: how many rows were. */
export const multiRemoveResult = struct({ count: u32 });

export const Incr = defineRpc({
  code: 105,
  name: "incr",
  request: {
    ...writeHead,
    key: bytes,
    increment: i64,
    /** 0 keep, > 0 absolute, -1 clear */ expireTs: i53,
  },
  response: writeResponse,
});
/** `result` of {@link Incr}. */
export const incrResult = struct({ newValue: i64 });

/** Check types of the conditional writes, by their wire number (data API, check_and_set). */
export const CHECK_TYPES = [
  "no_check",
  "not_exist",
  "not_exist_or_empty",
  "exist",
  "not_empty",
  "match_anywhere",
  "match_prefix",
  "match_postfix",
  "bytes_less",
  "bytes_less_or_equal",
  "bytes_equal",
  "bytes_greater_or_equal",
  "bytes_greater",
  "int_less",
  "int_less_or_equal",
  "int_equal",
  "int_greater_or_equal",
  "int_greater",
] as const;
export type CheckType = (typeof CHECK_TYPES)[number];

const checkHead = {
  hashKey: bytes,
  checkSortKey: bytes,
  /** Index into CHECK_TYPES. */
  checkType: u8,
  checkOperand: bytes,
  returnCheckValue: bool,
};

export const CheckAndSet = defineRpc({
  code: 106,
  name: "check_and_set",
  request: {
    ...writeHead,
    ...checkHead,
    /** The row to set; absent = the checked one. */
    setSortKey: optional(bytes),
    setValue: bytes,
    expireTs: u32,
  },
  response: writeResponse,
});

export const mutateOp = struct({
  kind: choice("put", "remove"),
  sortKey: bytes,
  value: bytes,
  expireTs: u32,
});

export const CheckAndMutate = defineRpc({
  code: 107,
  name: "check_and_mutate",
  request: { ...writeHead, ...checkHead, mutations: list(mutateOp, 100_000) },
  response: writeResponse,
});

/** `result` of {@link CheckAndSet} and {@link CheckAndMutate}. */
export const checkResult = struct({
  passed: bool,
  /** Present if asked for: whether the checked row existed, and its value. */
  checkExists: optional(bool),
  checkValue: optional(bytes),
});

/** `stale` false: linearizable, the primary answers. True: any member may answer, with old rows. */
const readHead = { partition: u53, stale: bool };

/**
 * How old the rows of a stale read may be, ms; 0 = any age. A member that cannot promise it answers
 * INVALID_STATE. Added after version 1, so it is the last field of every read.
 */
const readTail = { stalenessMaxMs: withDefault(u53, 0) };

export const Get = defineRpc({
  code: 120,
  name: "get",
  request: { ...readHead, key: bytes, ...readTail },
  response: { /** Absent: no such row, or expired. */ value: optional(bytes) },
  hot: { request: hot.getRequest, response: hot.getResponse },
});

export const Ttl = defineRpc({
  code: 121,
  name: "ttl",
  request: { ...readHead, key: bytes, ...readTail },
  response: { exists: bool, /** Remaining seconds; -1 = no TTL. */ seconds: i53 },
});

export const MultiGet = defineRpc({
  code: 122,
  name: "multi_get",
  request: {
    ...readHead,
    hashKey: bytes,
    /** Point lookups when not empty; the range fields are ignored then. */
    sortKeys: list(bytes, 100_000),
    /** 0 = no limit of the client's. */
    countMax: u32,
    bytesMax: u32,
    noValue: bool,
    startSortKey: bytes,
    startInclusive: bool,
    /** Empty = to the end of the hash key. */
    stopSortKey: bytes,
    stopInclusive: bool,
    sortKeyFilter: filter,
    reverse: bool,
    ...readTail,
  },
  response: {
    /** `key` is the sort key. Ascending, also when reading in reverse. */
    rows: rowBlock,
    /** False if a limit stopped the read: more rows may follow. */
    complete: bool,
  },
  hot: { response: hot.rowsResponse },
});

export const SortKeyCount = defineRpc({
  code: 123,
  name: "sortkey_count",
  request: { ...readHead, hashKey: bytes, ...readTail },
  response: { /** -1: it took too long to count. */ count: i53 },
});

export const BatchGet = defineRpc({
  code: 124,
  name: "batch_get",
  request: { ...readHead, keys: list(bytes, 100_000), ...readTail },
  response: { /** Only rows that exist; `key` is the raw key. */ rows: rowBlock, complete: bool },
  hot: { response: hot.rowsResponse },
});

/** Opens a scan over raw keys [start, stop) and returns its first batch. */
export const GetScanner = defineRpc({
  code: 125,
  name: "get_scanner",
  request: {
    ...readHead,
    startKey: bytes,
    startInclusive: bool,
    stopKey: bytes,
    stopInclusive: bool,
    /** Rows per batch; 0 = the server's maximum. */
    batchSize: u32,
    noValue: bool,
    hashKeyFilter: filter,
    sortKeyFilter: filter,
    countOnly: bool,
    returnExpireTs: bool,
    ...readTail,
  },
  response: {
    /** 0: the scan is finished. Otherwise the single-use name of the next batch. */
    context: u53,
    /** `key` is the raw key. */
    rows: rowBlock,
    /** Matching rows of this batch when counting only. */
    count: u32,
  },
  hot: { response: hot.scanResponse },
});

/** Next batch of a scan; SCAN_CONTEXT_LOST if the context is not held any more. */
export const Scan = defineRpc({
  code: 126,
  name: "scan",
  request: { partition: u53, context: u53 },
  response: { context: u53, rows: rowBlock, count: u32 },
  hot: { response: hot.scanResponse },
});

/** Gives a scan up early. */
export const ClearScanner = defineRpc({
  code: 127,
  name: "clear_scanner",
  request: { partition: u53, context: u53 },
  response: { released: bool },
});

export type GetRequest = Of<typeof Get.request>;
export type MultiGetRequest = Of<typeof MultiGet.request>;
export type GetScannerRequest = Of<typeof GetScanner.request>;

/** Version of a server, for people. Answered by every role. Code 1. */
export const ServerInfo = defineRpc({
  code: 1,
  name: "server_info",
  request: {},
  response: {
    role: choice("meta", "replica"),
    version: str,
    startedAt: u53,
    shardCount: u16,
    /** 0 = no HTTP. */
    httpPort: withDefault(u16, 0),
  },
});
