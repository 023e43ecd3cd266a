// Client reads at the border of a replica server. A read is checked (role, lease, key) and its engine view is
// taken in the same turn of the event loop, so nothing can change in between; point reads are answered
// without a promise, range reads go on asynchronously with what they took. Semantics: docs/data_api.md.

import { EMPTY } from "../../src/base/bytes.ts";
import type { Clock, Now } from "../../src/base/clock.ts";
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
import type { RowBlock } from "../../src/schema/row_block.ts";
import type { Rpc } from "../../src/schema/rpc.ts";
import { secondsSince2016 } from "../../src/schema/value_format.ts";
import type { Engine } from "../../storage/engine.ts";
import type { PartitionGuard } from "./partition_guard.ts";
import { POINTS_AT_ONCE } from "./point_reads.ts";
import { RangeTurns } from "./range_turns.ts";
import { type ReadSizeMarks, ReadWatch } from "./read_watch.ts";
import {
  readBatchGet,
  readGet,
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
  readonly guard: PartitionGuard;
  readonly scans: ScanContexts;
}

/** What every read says first. */
export interface ReadHead {
  readonly partition: number;
  /** Absent: the continuation of a scan. */
  readonly stale?: boolean;
  /** How old a stale answer may be, ms; 0 = any age. */
  readonly stalenessMaxMs?: number;
}

/** What the handlers need of their shard. */
export interface ReadHost {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The replica, whatever it may do now; otherwise the refusal has been sent. */
  find(partition: PartitionId, call: IncomingCall<never>): { scans: ScanContexts } | undefined;
  /**
   * The replica, if it may answer now; otherwise the read was answered, or waits.
   *
   * @param again Serves the read after a wait; `undefined` if it has waited already.
   */
  reader(
    head: ReadHead,
    call: IncomingCall<never>,
    now: Now,
    again: (() => void) | undefined,
  ): Readable | undefined;
  /** Runs work at the end of the turn of the event loop; absent where that takes too long. */
  readonly endOfTurn?: ((work: () => void) => void) | undefined;
}

/** How one kind of read is served. */
interface ReadKind<Q, A> {
  readonly rpc: Rpc<Q, A>;
  /** Whether its key belongs to the partition. */
  readonly owns: (guard: PartitionGuard, request: Q) => boolean;
  /** Whether it goes over many rows, and so takes turns. @default never */
  readonly isLong?: (request: Q) => boolean;
  /** It may go over any number of rows, and takes turns with its like only. @default false */
  readonly isUnbounded?: boolean;
  readonly read: (
    scope: ReadScope,
    request: Q,
    replica: Readable,
  ) => A | number | Promise<A | number>;
  /** Rows and bytes of an answer, if it has any. */
  readonly size?: AnswerSize<A>;
  /** What is logged as slow or large; absent = nothing is. */
  readonly watch?: { readonly marks: ReadSizeMarks; readonly key: (request: Q) => Uint8Array };
}

interface AnswerSize<A> {
  readonly rows: (answer: A) => number;
  readonly bytes: (answer: A) => number;
}

const LISTED: AnswerSize<{ readonly rows: RowBlock }> = {
  rows: ({ rows }) => rows.count,
  bytes: ({ rows }) => rows.dataBytes,
};

/** The original's marks; for bytes half of what an answer may have, or no answer would reach it. */
const GET_MARKS: ReadSizeMarks = { bytes: 1_000_000, rows: Infinity };
const MULTI_GET_MARKS: ReadSizeMarks = { bytes: 4 * 1024 * 1024, rows: 1000 };
const BATCH_GET_MARKS: ReadSizeMarks = { bytes: 4 * 1024 * 1024, rows: 2000 };

/** Registers the handlers of all client reads. @returns What watches them. */
export function registerReads(server: RpcServer, host: ReadHost): ReadWatch {
  const desk = new ReadDesk(host);
  const handle: Handle = (kind) =>
    server.handle(kind.rpc, (request, call) => desk.serve(kind, request, call, false));
  registerPoints(handle);
  registerRanges(handle);
  registerClear(server, host);
  return desk.watch;
}

/** Serves reads of all kinds. */
class ReadDesk {
  readonly watch: ReadWatch;
  readonly #host: ReadHost;
  readonly #turns: RangeTurns;
  /** Of what may take seconds, so that nothing short waits for it. */
  readonly #unboundedTurns: RangeTurns;

  constructor(host: ReadHost) {
    this.#host = host;
    this.watch = new ReadWatch(host.logger);
    const now = () => host.clock.now().mono;
    this.#turns = new RangeTurns(now, host.endOfTurn);
    this.#unboundedTurns = new RangeTurns(now, host.endOfTurn);
  }

  /** @param waited It was throttled, or waited for its turn, and is checked again. */
  serve<Q extends ReadHead, A extends object>(
    kind: ReadKind<Q, A>,
    request: Q,
    call: IncomingCall<A>,
    waited: boolean,
  ): void {
    const now = this.#host.clock.now();
    const again = () => this.serve(kind, request, call, true);
    const replica = this.#host.reader(request, refusable(call), now, waited ? undefined : again);
    if (replica === undefined) return;
    if (!kind.owns(replica.guard, request)) return call.fail(Err.PARENT_PARTITION_MISUSED);
    if (kind.isLong?.(request) !== true) return void this.#read(kind, request, call, replica, now);
    const turns = kind.isUnbounded === true ? this.#unboundedTurns : this.#turns;
    const turn = turns.take(call.deadline, again);
    if (turn === "full") return call.fail(Err.BUSY, "Too many range reads wait for their turn");
    if (turn === "run") turns.hold(() => this.#read(kind, request, call, replica, now));
  }

  /** @returns A promise while the read goes on. */
  #read<Q extends ReadHead, A extends object>(
    kind: ReadKind<Q, A>,
    request: Q,
    call: IncomingCall<A>,
    replica: Readable,
    now: Now,
  ): Promise<void> | undefined {
    let result;
    try {
      result = kind.read(scopeOf(this.#host, replica, now), request, replica);
    } catch (error) {
      return this.#fail(kind, call, error);
    }
    if (!(result instanceof Promise)) {
      this.#finish(kind, request, call, replica, now, result);
      return undefined;
    }
    return result.then(
      (answer) => this.#finish(kind, request, call, replica, now, answer),
      (error) => this.#fail(kind, call, error),
    );
  }

  /** The client asks again: a damaged replica is about to be replaced, and one that was closed already is. */
  #fail<Q, A>({ rpc }: ReadKind<Q, A>, call: IncomingCall<A>, error: unknown): undefined {
    this.#host.logger.warn("Read failed", { rpc: rpc.name, error: String(error) });
    call.fail(Err.INVALID_STATE);
  }

  #finish<Q extends ReadHead, A extends object>(
    kind: ReadKind<Q, A>,
    request: Q,
    call: IncomingCall<A>,
    { guard }: Readable,
    start: Now,
    answer: A | number,
  ): void {
    if (typeof answer === "number") return call.fail(answer);
    call.reply(answer);
    const { size } = kind;
    if (size === undefined || (kind.watch === undefined && !guard.readBytes.enabled)) return;
    const bytes = size.bytes(answer);
    guard.readBytes.charge(bytes);
    if (kind.watch === undefined) return;
    const rows = size.rows(answer);
    const end = this.#host.clock.now().mono;
    const ms = end - start.mono;
    const { marks, key } = kind.watch;
    // Nothing is built for the reads nobody wants to hear of.
    if (ms < guard.slowReadMs && bytes < marks.bytes && rows < marks.rows) return;
    const { partition } = request;
    const facts = { rpc: kind.rpc.name, partition, ms, rows, bytes };
    this.watch.note({ ...facts, key: key(request) }, guard.slowReadMs, marks, end);
  }
}

function registerClear(server: RpcServer, host: ReadHost): void {
  server.handle(ClearScanner, (request, call) => {
    const replica = host.find(request.partition, refusable(call));
    if (replica !== undefined) call.reply({ released: replica.scans.clear(request.context) });
  });
}

type Handle = <Q extends ReadHead, A extends object>(kind: ReadKind<Q, A>) => void;

function registerPoints(handle: Handle): void {
  handle({
    rpc: Get,
    owns: (guard, { key }) => guard.ownsKey(key),
    read: readGet,
    size: {
      rows: ({ value }) => value === undefined ? 0 : 1,
      bytes: ({ value }) => value?.length ?? 0,
    },
    watch: { marks: GET_MARKS, key: ({ key }) => key },
  });
  handle({
    rpc: Ttl,
    owns: (guard, { key }) => guard.ownsKey(key),
    read: readTtl,
  });
  handle({
    rpc: BatchGet,
    owns: (guard, { keys }) => keys.every((key) => guard.ownsKey(key)),
    isLong: ({ keys }) => keys.length > POINTS_AT_ONCE,
    read: readBatchGet,
    size: LISTED,
    watch: { marks: BATCH_GET_MARKS, key: ({ keys }) => keys[0]! },
  });
}

function registerRanges(handle: Handle): void {
  handle({
    rpc: MultiGet,
    owns: (guard, { hashKey, sortKeys }) =>
      // Without hash key the rows are spread by sort key, and a range over them concerns every partition.
      hashKey.length > 0
        ? guard.owns(hashKey, EMPTY)
        : sortKeys.every((sortKey) => guard.owns(hashKey, sortKey)),
    // By few sort keys it is a point read, by range it is not.
    isLong: ({ sortKeys }) => sortKeys.length === 0 || sortKeys.length > POINTS_AT_ONCE,
    read: (scope, request) =>
      request.sortKeys.length > 0
        ? readMultiGetKeys(scope, request)
        : readMultiGetRange(scope, request),
    size: LISTED,
    watch: { marks: MULTI_GET_MARKS, key: ({ hashKey }) => hashKey },
  });
  handle({
    rpc: SortKeyCount,
    isLong: () => true,
    isUnbounded: true,
    owns: (guard, { hashKey }) => hashKey.length === 0 || guard.owns(hashKey, EMPTY),
    read: readSortKeyCount,
  });
  // A scan reads whatever rows the partition has: it names no single key.
  handle({
    rpc: GetScanner,
    isLong: () => true,
    owns: () => true,
    read: (scope, request, { scans }) => scans.open(scope, request),
    size: LISTED,
  });
  handle({
    rpc: Scan,
    isLong: () => true,
    owns: () => true,
    read: (scope, request, { scans }) => scans.next(scope, request),
    size: LISTED,
  });
}

function scopeOf({ clock, endOfTurn }: ReadHost, { engine, guard }: Readable, now: Now): ReadScope {
  const { limits } = guard;
  const nowSeconds = secondsSince2016(now.wall);
  return { engine, limits, nowSeconds, now: () => clock.now().mono, endOfTurn };
}

/** A call of any answer type, for code that can only refuse it. */
export function refusable<A>(call: IncomingCall<A>): IncomingCall<never> {
  return call as IncomingCall<never>;
}
