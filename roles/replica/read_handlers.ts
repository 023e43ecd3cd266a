// Client reads at the border of a replica server. A read is checked (role, lease) and its engine view is
// taken in the same turn of the event loop, so nothing can change in between; point reads are answered
// without a promise, range reads go on asynchronously with what they took. Semantics: docs/data_api.md.

import type { Clock } from "../../src/base/clock.ts";
import { Err } from "../../src/base/errors.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { IncomingCall, RpcServer } from "../../src/rpc/contract.ts";
import {
  BatchGet,
  ClearScanner,
  Get,
  GetScanner,
  MultiGet,
  Scan,
  SortKeyCount,
  Ttl,
} from "../../src/schema/client_rpc.ts";
import { rpcName } from "../../src/schema/registry.ts";
import type { Rpc } from "../../src/schema/rpc.ts";
import { secondsSince2016 } from "../../src/schema/value_format.ts";
import type { Engine } from "../../storage/engine.ts";
import {
  READ_DEFAULTS,
  readBatchGet,
  readGet,
  type ReadLimits,
  readMultiGetKeys,
  readMultiGetRange,
  type ReadScope,
  readSortKeyCount,
  readTtl,
} from "./reads.ts";
import type { ScanContexts } from "./scans.ts";

/** What a read may use of one replica. */
export interface Readable {
  readonly engine: Engine;
  readonly scans: ScanContexts;
}

/** What the handlers need of their shard. */
export interface ReadHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: ReadLimits;
  /** The replica, if it may answer now; otherwise the refusal has been sent. `stale`: any member may. */
  readonly reader: (
    partition: PartitionId,
    stale: boolean,
    call: IncomingCall<never>,
  ) => Readable | undefined;
}

interface ReadHead {
  readonly partition: number;
  readonly stale: boolean;
}

type Read<Q, A> = (scope: ReadScope, request: Q, replica: Readable) => A | number;

/** Registers the handlers of all client reads. */
export function registerReads(server: RpcServer, host: ReadHost): void {
  const limits = host.limits ?? READ_DEFAULTS;
  const now = () => host.clock.now().mono;
  const scopeOf = (engine: Engine): ReadScope => {
    return { engine, limits, nowSeconds: secondsSince2016(host.clock.now().wall), now };
  };

  function sync<Q extends ReadHead, A extends object>(rpc: Rpc<Q, A>, read: Read<Q, A>): void {
    server.handle(rpc, (request, call) => {
      const replica = host.reader(request.partition, request.stale, refusable(call));
      if (replica === undefined) return;
      answer(call, read(scopeOf(replica.engine), request, replica));
    });
  }

  function later<
    Q extends { readonly partition: number; readonly stale?: boolean },
    A extends object,
  >(
    rpc: Rpc<Q, A>,
    read: (scope: ReadScope, request: Q, replica: Readable) => Promise<A | number>,
  ): void {
    server.handle(rpc, (request, call) => {
      // A scan goes on with what it took when it was opened: the continuation needs no lease.
      const replica = host.reader(request.partition, request.stale ?? true, refusable(call));
      if (replica === undefined) return;
      read(scopeOf(replica.engine), request, replica).then(
        (result) => answer(call, result),
        (error) => {
          host.logger.warn("Read failed", { rpc: rpcName(rpc.code), error: String(error) });
          call.fail(Err.INVALID_STATE);
        },
      );
    });
  }

  sync(Get, readGet);
  sync(Ttl, readTtl);
  sync(BatchGet, readBatchGet);
  later(SortKeyCount, readSortKeyCount);
  later(GetScanner, (scope, request, { scans }) => scans.open(scope, request));
  later(Scan, (scope, request, { scans }) => scans.next(scope, request));
  registerMultiGet(server, host, scopeOf);
  server.handle(ClearScanner, (request, call) => {
    const replica = host.reader(request.partition, true, refusable(call));
    if (replica !== undefined) call.reply({ released: replica.scans.clear(request.context) });
  });
}

/** By sort keys it is a point read, by range it is not. */
function registerMultiGet(
  server: RpcServer,
  host: ReadHost,
  scopeOf: (engine: Engine) => ReadScope,
): void {
  server.handle(MultiGet, (request, call) => {
    const replica = host.reader(request.partition, request.stale, refusable(call));
    if (replica === undefined) return;
    const scope = scopeOf(replica.engine);
    if (request.sortKeys.length > 0) return answer(call, readMultiGetKeys(scope, request));
    readMultiGetRange(scope, request).then((result) => answer(call, result), (error) => {
      host.logger.warn("Read failed", { rpc: MultiGet.name, error: String(error) });
      call.fail(Err.INVALID_STATE);
    });
  });
}

function answer<A extends object>(call: IncomingCall<A>, result: A | number): void {
  if (typeof result === "number") call.fail(result);
  else call.reply(result);
}

/** A call of any answer type, for code that can only refuse it. */
export function refusable<A>(call: IncomingCall<A>): IncomingCall<never> {
  return call as IncomingCall<never>;
}
