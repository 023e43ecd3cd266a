// Client requests at a simulated server: the lease check, the role check, then a synchronous read or a write
// for the core's queue, as roles/replica does it. Every check uses the clock at the moment of the request.

import { utf8 } from "../../src/base/bytes.ts";
import { Err } from "../../src/base/errors.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import type { WriteOp } from "../../src/replication/write_op.ts";
import {
  CHECK_TYPES,
  CheckAndSet,
  Get,
  Incr,
  MultiGet,
  MultiPut,
  OpenSession,
  Put,
  Remove,
} from "../../src/schema/client_rpc.ts";
import type { AnyRpc, RequestOf } from "../../src/schema/rpc.ts";
import type { Env } from "./env.ts";
import { keyText } from "./model_engine.ts";
import type { Responder } from "./rpc.ts";
import type { WriteHead } from "./sim_ops.ts";
import type { ServerProcess } from "./sim_server.ts";

/** What the driver keeps of a write until it is answered; the core's token. */
export interface WriteCall {
  readonly op: WriteOp;
  answer(error: number, decree: number, result: Uint8Array | undefined): void;
}

/** Raw key of a row of the model's object. */
export function rowKey(hashKey: string, sortKey: string): Uint8Array {
  return utf8(`${hashKey}/${sortKey}`);
}

/** Registers all client requests. */
export function handleRequests(env: Env, server: ServerProcess): void {
  const writes: [AnyRpc, (body: never) => WriteOp][] = [
    [OpenSession, () => ({ kind: "openSession" })],
    [Put, ({ key, value }: RequestOf<typeof Put>) => ({
      kind: "put",
      rows: [{ key, value, expireTs: 0 }],
    })],
    [MultiPut, ({ hashKey, rows }: RequestOf<typeof MultiPut>) => ({
      kind: "put",
      rows: rows.map(({ sortKey, value }) => ({
        key: new Uint8Array([...hashKey, 47, ...sortKey]),
        value,
        expireTs: 0,
      })),
    })],
    [Remove, ({ key }: RequestOf<typeof Remove>) => ({
      kind: "remove",
      keys: [key],
      returnCount: false,
    })],
    [Incr, ({ key, increment }: RequestOf<typeof Incr>) => ({
      kind: "incr",
      key,
      increment,
      expireTs: 0,
    })],
    [CheckAndSet, (body: RequestOf<typeof CheckAndSet>) => {
      const key = new Uint8Array([...body.hashKey, 47, ...body.checkSortKey]);
      return {
        kind: "checkAndSet",
        row: { key, value: body.setValue, expireTs: 0 },
        checkKey: key,
        checkType: CHECK_TYPES[body.checkType]!,
        checkOperand: body.checkOperand,
        returnCheckValue: true,
      };
    }],
  ];
  for (const [rpc, toOp] of writes) {
    server.rpc.handle(rpc, (_from, body, responder) => {
      const head = body as WriteHead;
      write(server, { ...head, session: head.session ?? 0 }, toOp(body as never), responder);
    });
  }
  server.rpc.handle(Get, (_from, body, responder) => {
    const { partition, key } = body as RequestOf<typeof Get>;
    read(env, server, partition, responder, (readOne) => ({ value: readOne(key) }));
  });
  server.rpc.handle(MultiGet, (_from, body, responder) => {
    const { partition, hashKey, sortKeys } = body as RequestOf<typeof MultiGet>;
    read(env, server, partition, responder, (readOne) => {
      const rows = sortKeys.flatMap((key) => {
        const value = readOne(new Uint8Array([...hashKey, 47, ...key]));
        return value === undefined ? [] : [{ key, value }];
      });
      return { rows, complete: true };
    });
  });
}

function write(server: ServerProcess, head: WriteHead, op: WriteOp, responder: Responder): void {
  const replica = server.replicas.get(head.partition);
  if (replica === undefined) return responder.fail(Err.OBJECT_NOT_FOUND);
  if (!server.holdsLease) return responder.fail(Err.INVALID_STATE);
  const call: WriteCall = {
    op,
    answer: (error, decree, result) =>
      error === Err.OK ? responder.reply({ decree, result }) : responder.fail(error),
  };
  const { session, sequence = 0, answeredBelow = 0 } = head;
  replica.step({
    kind: "write",
    request: { token: call, op, session, sequence, answeredBelow, bytes: 32 },
  });
  server.touch(replica);
}

function read(
  env: Env,
  server: ServerProcess,
  partition: PartitionId,
  responder: Responder,
  answer: (readOne: (key: Uint8Array) => Uint8Array | undefined) => unknown,
): void {
  const replica = server.replicas.get(partition);
  if (replica === undefined) return responder.fail(Err.OBJECT_NOT_FOUND);
  if (!replica.core.readable) return responder.fail(Err.INVALID_STATE);
  if (!server.holdsLease) {
    // A pile of requests is delivered after a pause, and the core has not heard of its end yet.
    env.coverage.hit("lease.readRefused");
    return responder.fail(Err.INVALID_STATE);
  }
  responder.reply(answer((key) => {
    const value = replica.files.engine.get(key);
    env.watch.readServed(replica, keyText(key), value);
    return value;
  }));
}
