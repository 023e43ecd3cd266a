// Operations of simulated clients as requests of the client protocol, and answers in the words of the judge's
// model. Keys are encoded as the client library does it.

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import {
  CHECK_TYPES,
  CheckAndSet,
  checkResult,
  Get,
  Incr,
  incrResult,
  MultiGet,
  MultiPut,
  Put,
  Remove,
} from "../../src/schema/client_rpc.ts";
import { decode } from "../../src/schema/codec.ts";
import { encodeKey } from "../../src/schema/key_format.ts";
import type { AnyRpc } from "../../src/schema/rpc.ts";
import { type ModelOp, show } from "./linearizability.ts";

/** What is sent. */
export interface Request {
  readonly rpc: AnyRpc;
  readonly body: unknown;
}

/** Fields every write begins with. */
export interface WriteHead {
  readonly partition: PartitionId;
  readonly session: number;
  readonly sequence: number;
  readonly answeredBelow: number;
}

/** A multi-get of named rows: what it says beyond their names. */
const WHOLE_ROWS = {
  stale: false,
  countMax: 0,
  bytesMax: 0,
  noValue: false,
  startSortKey: new Uint8Array(0),
  startInclusive: true,
  stopSortKey: new Uint8Array(0),
  stopInclusive: false,
  sortKeyFilter: { type: "none", pattern: new Uint8Array(0) },
  reverse: false,
  stalenessMaxMs: 0,
};

/** Raw key of a row of the model's object. */
function rowKey(hashKey: string, sortKey: string): Uint8Array {
  return encodeKey(utf8(hashKey), utf8(sortKey));
}

/** The request for an operation. */
export function requestOf(op: ModelOp, hashKey: string, head: WriteHead): Request {
  const { partition } = head;
  switch (op.kind) {
    case "get":
      return {
        rpc: Get,
        body: { partition, stale: false, key: rowKey(hashKey, op.key), stalenessMaxMs: 0 },
      };
    case "mget": {
      const sortKeys = op.keys.map((key) => utf8(key));
      return {
        rpc: MultiGet,
        body: { ...WHOLE_ROWS, partition, hashKey: utf8(hashKey), sortKeys },
      };
    }
    case "put": {
      const [[key, value]] = op.rows as [[string, string]];
      if (op.rows.length === 1) {
        const body = { ...head, key: rowKey(hashKey, key), value: utf8(value), expireTs: 0 };
        return { rpc: Put, body };
      }
      const rows = op.rows.map(([sortKey, v]) => ({ sortKey: utf8(sortKey), value: utf8(v) }));
      return { rpc: MultiPut, body: { ...head, hashKey: utf8(hashKey), rows, expireTs: 0 } };
    }
    case "remove":
      return { rpc: Remove, body: { ...head, key: rowKey(hashKey, op.key) } };
    case "incr": {
      const increment = BigInt(op.by);
      return {
        rpc: Incr,
        body: { ...head, key: rowKey(hashKey, op.key), increment, expireTs: 0 },
      };
    }
    case "cas":
      return {
        rpc: CheckAndSet,
        body: {
          ...head,
          hashKey: utf8(hashKey),
          checkSortKey: utf8(op.key),
          checkType: CHECK_TYPES.indexOf(op.expected === undefined ? "not_exist" : "bytes_equal"),
          checkOperand: utf8(op.expected ?? ""),
          returnCheckValue: true,
          setSortKey: undefined,
          setValue: utf8(op.value),
          expireTs: 0,
        },
      };
  }
}

/** The answer in the words of the model. */
// deno-lint-ignore no-explicit-any
export function resultOf(op: ModelOp, answer: any): string {
  switch (op.kind) {
    case "get":
      return show(answer.value && fromUtf8(answer.value));
    case "mget": {
      const found = new Map<string, string>();
      for (const { key, value } of answer.rows.toArray()) found.set(fromUtf8(key), fromUtf8(value));
      return JSON.stringify(op.keys.map((key) => show(found.get(key))));
    }
    case "incr":
      return String(decode(incrResult, answer.result, "incr").newValue);
    case "cas": {
      const { passed, checkValue } = decode(checkResult, answer.result, "cas");
      return passed ? "passed" : `failed ${show(checkValue && fromUtf8(checkValue))}`;
    }
    default:
      return "ok";
  }
}
