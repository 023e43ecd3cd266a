// Client requests at a simulated server: the lease check, the role check, then a synchronous read or a write
// for the core's queue, as roles/replica does it. Every check uses the clock at the moment of the request.

import { Err } from "../../src/base/errors.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import { Get, MultiGet } from "../../src/schema/client_rpc.ts";
import { encodeKey } from "../../src/schema/key_format.ts";
import { RowBlock } from "../../src/schema/row_block.ts";
import type { RequestOf } from "../../src/schema/rpc.ts";
import { userDataOf } from "../../src/schema/value_format.ts";
import { registerWrites } from "../../roles/replica/write_handlers.ts";
import type { Env } from "./env.ts";
import { keyText } from "./model_engine.ts";
import type { Responder } from "./rpc.ts";
import { rpcServerOf } from "./rpc_adapters.ts";
import type { ServerProcess } from "./sim_server.ts";

/** Registers all client requests. */
export function handleRequests(env: Env, server: ServerProcess): void {
  registerWrites(rpcServerOf(server.rpc), (partition, request, call) => {
    const replica = server.replicas.get(partition);
    if (replica === undefined) return call.fail(Err.OBJECT_NOT_FOUND);
    if (!server.holdsLease) return call.fail(Err.INVALID_STATE);
    replica.step({ kind: "write", request });
    server.touch(replica);
  });
  server.rpc.handle(Get, (_from, body, responder) => {
    const { partition, key } = body as RequestOf<typeof Get>;
    read(env, server, partition, responder, (readOne) => ({ value: readOne(key) }));
  });
  server.rpc.handle(MultiGet, (_from, body, responder) => {
    const { partition, hashKey, sortKeys } = body as RequestOf<typeof MultiGet>;
    read(env, server, partition, responder, (readOne) => {
      const rows = new RowBlock();
      for (const key of sortKeys) {
        const value = readOne(encodeKey(hashKey, key));
        if (value !== undefined) rows.add(key, value);
      }
      return { rows, complete: true };
    });
  });
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
    const stored = replica.files.engine.get(key);
    const value = stored === undefined ? undefined : userDataOf(stored);
    env.watch.readServed(replica, keyText(key), value);
    return value;
  }));
}
