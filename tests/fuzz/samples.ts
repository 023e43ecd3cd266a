// A valid request of many kinds, encoded: where the mutations of messages begin.

import { utf8 } from "../../src/base/bytes.ts";
import { Grant, PutUser } from "../../src/schema/access_rpc.ts";
import * as client from "../../src/schema/client_rpc.ts";
import { encode } from "../../src/schema/codec.ts";
import * as meta from "../../src/schema/meta_rpc.ts";
import * as replica from "../../src/schema/replica_rpc.ts";
import type { Field } from "../../src/schema/field.ts";
import type { AnyRpc, RequestOf } from "../../src/schema/rpc.ts";
import { encodeBody } from "../../src/schema/mutation_body.ts";
import { encodeMutation } from "../../src/schema/mutation.ts";
import { encodeKey } from "../../src/schema/key_format.ts";

/** An encoded request. */
export interface Sample {
  readonly rpc: AnyRpc;
  readonly body: Uint8Array;
}

const key = encodeKey(utf8("hash"), utf8("sort"));
const write = { partition: 65536, session: 3, sequence: 9, answeredBelow: 8 };
const read = { partition: 65536, stale: false, stalenessMaxMs: 0 };
const head = { partition: 65536, from: "10.0.0.1:34801", incarnation: 77, ballot: 5 };
const config = {
  partition: 65536,
  ballot: 5,
  primary: "10.0.0.1:34801",
  secondaries: ["10.0.0.2:34801"],
  lastDrops: [],
  maxReplicaCount: 3,
  committedHint: 12,
};
const check = {
  hashKey: utf8("hash"),
  checkSortKey: utf8("s"),
  checkType: 10,
  checkOperand: utf8("5"),
  returnCheckValue: true,
};

/** A mutation with sessions, puts and removes. */
export function sampleMutation(): Uint8Array {
  const body = encodeBody(
    [{ session: 3, sequence: 9, answeredBelow: 8, error: 0, result: utf8("r") }],
    [{ key, value: utf8("value") }, { key, value: undefined }],
  );
  return encodeMutation({ ballot: 5, decree: 12, lastCommitted: 11, timestampUs: 1_000_000, body });
}

const AS_IT_IS: Field<unknown> = { write: (value) => value, read: (plain) => plain };

/** Takes a request; fields that were added later may be left out, as an older peer does. */
type Add = <R extends AnyRpc>(rpc: R, request: Partial<RequestOf<R>>) => void;

/** See the file comment. */
export function samples(): Sample[] {
  const list: Sample[] = [];
  const add: Add = (rpc, request) => {
    const plain = rpc.request.write(request) as unknown[];
    while (plain.at(-1) === undefined) plain.pop();
    list.push({ rpc, body: encode(AS_IT_IS, plain) });
  };
  addClientRequests(add);
  addServerRequests(add);
  return list;
}

function addClientRequests(add: Add): void {
  const rows = [{ sortKey: utf8("a"), value: utf8("1") }, { sortKey: utf8("b"), value: utf8("2") }];
  add(client.Put, { ...write, key, value: utf8("value"), expireTs: 7 });
  add(client.Remove, { ...write, key });
  add(client.MultiPut, { ...write, hashKey: utf8("hash"), rows, expireTs: 0 });
  add(client.Incr, { ...write, key, increment: -5n, expireTs: -1 });
  add(client.CheckAndSet, {
    ...write,
    ...check,
    setSortKey: undefined,
    setValue: key,
    expireTs: 0,
  });
  add(client.Get, { ...read, key });
  add(client.BatchGet, { ...read, keys: [key, key] });
  const any = { type: "none" as const, pattern: new Uint8Array(0) };
  add(client.MultiGet, {
    ...{
      ...read,
      hashKey: utf8("hash"),
      sortKeys: [],
      countMax: 10,
      bytesMax: 1000,
      noValue: false,
    },
    ...{
      startSortKey: utf8("a"),
      startInclusive: true,
      stopSortKey: utf8("z"),
      stopInclusive: false,
    },
    ...{ sortKeyFilter: any, reverse: true },
  });
}

function addServerRequests(add: Add): void {
  add(replica.Prepare, {
    ...{ ...head, role: "secondary", signature: 0, reconcileEnd: 11, committed: 11 },
    mutation: sampleMutation(),
  });
  add(replica.LearnReply, {
    ...{ ...head, signature: 4, error: 0, source: "cache", fromScratch: false, prepareStart: 9 },
    ...{ committed: 8, reconcileEnd: 11, mutations: [sampleMutation()] },
  });
  add(meta.Beacon, {
    ...{ node: head.from, incarnation: 77, sentAt: 123456789, shardPorts: [1, 2], httpPort: 3 },
    labels: new Map([["zone", "a"]]),
  });
  add(meta.UpdateConfig, {
    ...{
      change: "ADD_SECONDARY",
      node: "10.0.0.3:34801",
      from: head.from,
      incarnation: 77,
      config,
    },
  });
  add(meta.CreateTable, {
    ...{ name: "t", partitionCount: 8, maxReplicaCount: 3, successIfExists: true },
    envs: new Map([["default_ttl", "60"]]),
  });
  add(PutUser, {
    ...{ name: "ada", action: "create", admin: false },
    verifier: { salt: key, iterations: 15000, storedKey: key, serverKey: key },
  });
  add(Grant, { user: "ada", rights: ["read", "write"], table: "t", revoke: false });
}
