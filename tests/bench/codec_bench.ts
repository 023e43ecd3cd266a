// Encoding and decoding of the messages of a set and a get: by hand (src/schema/hot_codec.ts) and the general way.
// Run: deno bench --allow-read --allow-env --allow-ffi tests/bench/codec_bench.ts

import { Get, MultiPut, Put } from "../../src/schema/client_rpc.ts";
import { decode, encodeShared } from "../../src/schema/codec.ts";
import type { Field } from "../../src/schema/field.ts";
import { Prepare, PrepareAck } from "../../src/schema/replica_rpc.ts";

const writeHead = { partition: 65539, session: 4711, sequence: 123456, answeredBelow: 123450 };
const peerHead = { partition: 65539, from: "127.0.0.1:34801", incarnation: 17, ballot: 3 };
const key = new Uint8Array(24).fill(1);
const value = new Uint8Array(100).fill(7);

function general<T>({ write, read }: Field<T>): Field<T> {
  return { write, read };
}

function both<T>(name: string, field: Field<T>, message: T): void {
  for (const [way, codec] of [["by hand", field], ["general", general(field)]] as const) {
    const bytes = new Uint8Array(encodeShared(codec, message));
    const options = { group: name, baseline: way === "general" };
    Deno.bench(`${name}: encode ${way}`, options, () => void encodeShared(codec, message));
    Deno.bench(`${name}: decode ${way}`, options, () => void decode(codec, bytes, name));
  }
}

both("put request", Put.request, { ...writeHead, key, value, expireTs: 0 });
both("put response", Put.response, { decree: 123456, result: undefined });
both("get request", Get.request, { partition: 65539, stale: false, key, stalenessMaxMs: 0 });
both("get response", Get.response, { value });
both("prepare", Prepare.request, {
  ...peerHead,
  role: "secondary",
  signature: 0,
  reconcileEnd: 100,
  mutation: new Uint8Array(400),
  committed: 123456,
});
both("prepare ack", PrepareAck.request, {
  ...peerHead,
  signature: 0,
  decree: 123456,
  error: 0,
  lastPrepared: 123456,
  committed: 123455,
});
const rows = Array.from({ length: 100 }, () => ({ sortKey: key, value }));
both("multi_put of 100 rows", MultiPut.request, { ...writeHead, hashKey: key, rows, expireTs: 0 });
