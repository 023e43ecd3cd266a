// Scans: rows of one hash key or of the whole table as async iterators. Invariant: every row that existed during
// the whole scan comes exactly once, also when servers fail meanwhile: a scan whose server-side context is lost
// opens again behind the last row it has handed out. Such a scan is no longer a view of one moment.
// At most one batch per partition is fetched ahead. See docs/client.md, "Scans".

import { EMPTY } from "../base/bytes.ts";
import { Err, StoreError } from "../base/errors.ts";
import { ClearScanner, Scan as ScanNext } from "../schema/client_rpc.ts";
import { decodeKey } from "../schema/key_format.ts";
import type { Row } from "../schema/types.ts";
import { GET_SCANNER } from "./call_specs.ts";
import { Call, type Pin, type TableState } from "./call.ts";
import type { Executor } from "./execute.ts";
import { type TableRow, toStaleHead, toTimeoutMs, toWhole } from "./options.ts";
import { isEmptyPart, type ScanOptions, type ScanPart } from "./scan_plan.ts";

const BATCH_SIZE = 500;
const PATIENCE_MS = 30_000;
/** A batch that takes longer than this counts as a lost server. */
const BATCH_MS = 10_000;
/** Times a part is opened again without a new row in between before the scan fails. */
const REOPENS_MAX = 8;

type PatientOptions = ScanOptions & { readonly timeoutMs: number; readonly batchSize: number };

/** A scan. Iterate it once, by row (`for await (const row of scan)`) or by batch. */
export class Scan implements AsyncIterable<TableRow> {
  readonly #executor: Executor;
  readonly #state: TableState;
  readonly #options: PatientOptions;
  readonly #plan: (partitionCount: number) => ScanPart[];
  readonly #parallel: number;
  readonly #isWholeTable: boolean;

  /**
   * @param plan The parts to read, once the partition count is known.
   * @param parallel Parts read at the same time; 0 = the plan is one part that follows a hash key.
   * @throws {StoreError} INVALID_ARGUMENT if `timeoutMs` is no time, or `batchSize` no number of rows
   */
  constructor(
    executor: Executor,
    state: TableState,
    options: ScanOptions,
    plan: (partitionCount: number) => ScanPart[],
    parallel: number,
  ) {
    this.#executor = executor;
    this.#state = state;
    this.#options = {
      ...options,
      timeoutMs: toTimeoutMs(options.timeoutMs ?? PATIENCE_MS),
      batchSize: toWhole("batchSize", options.batchSize ?? BATCH_SIZE, 1),
    };
    this.#plan = plan;
    this.#parallel = Math.max(1, parallel);
    this.#isWholeTable = parallel > 0;
  }

  /** Row by row. @throws {StoreError} */
  async *[Symbol.asyncIterator](): AsyncGenerator<TableRow, void> {
    for await (const rows of this.batches()) yield* rows;
  }

  /** Batches of at least one row; cheaper than row by row. @throws {StoreError} */
  async *batches(): AsyncGenerator<TableRow[], void> {
    const parts = await this.#open(false);
    for await (const rows of this.#read(parts)) if (rows.length > 0) yield rows.map(tableRow);
  }

  /** Number of matching rows, counted by the servers. @throws {StoreError} */
  async count(): Promise<number> {
    const parts = await this.#open(true);
    for await (const _ of this.#read(parts)) {
      // Each part counts what it reads.
    }
    return parts.reduce((total, part) => total + part.count, 0);
  }

  /** The batches of all parts, several parts at a time; the first failure ends them all. */
  async *#read(parts: readonly PartReader[]): AsyncGenerator<readonly Row[], void> {
    const waiting = parts.values();
    const ahead = new ReadAhead();
    const startNext = () => {
      const { value } = waiting.next();
      if (value !== undefined) ahead.start(value);
    };
    try {
      for (let i = Math.min(this.#parallel, parts.length); i > 0; i--) startNext();
      while (!ahead.isEmpty) {
        const { reader, rows } = await ahead.take();
        // The server reads the next batch while this one is taken apart and used.
        if (reader.isOver) startNext();
        else ahead.start(reader);
        yield rows;
      }
    } finally {
      ahead.end();
    }
  }

  async #open(countOnly: boolean): Promise<PartReader[]> {
    // Parts of the whole table belong to one shape of it, and an old shape would fail the scan: ask meta.
    const deadline = this.#executor.now() + this.#options.timeoutMs;
    const map = await this.#state.resolver.load(deadline, this.#isWholeTable);
    const { tableId, partitionCount } = map;
    return this.#plan(partitionCount).filter((part) => !isEmptyPart(part)).map((part) => {
      const pin = part.index === undefined
        ? undefined
        : { tableId, partitionCount, index: part.index };
      return new PartReader(this.#executor, this.#state, part, pin, this.#options, countOnly);
    });
  }
}

/** A batch, or why there is none. */
interface Fetched {
  readonly reader: PartReader;
  readonly rows: readonly Row[];
  readonly failure?: { readonly error: unknown };
}

/**
 * Batches on their way from several parts; they are taken in the order in which they arrive. A failure waits to be
 * taken like a batch, so it is nobody's unhandled rejection. Not a race of promises: each race would leave a
 * reaction at the promise of a part that hangs, and with it a batch.
 */
class ReadAhead {
  readonly #ready: Fetched[] = [];
  #running = 0;
  #wake: (() => void) | undefined;
  #isOver = false;

  /** Whether nothing is left to take. */
  get isEmpty(): boolean {
    return this.#running === 0 && this.#ready.length === 0;
  }

  /** Fetches the reader's next batch. */
  start(reader: PartReader): void {
    this.#running++;
    reader.next().then(
      (rows) => this.#put({ reader, rows }),
      (error: unknown) => this.#put({ reader, rows: [], failure: { error } }),
    );
  }

  /** The next batch; there must be one on its way, and nobody else who waits. @throws What its reader threw */
  async take(): Promise<Fetched> {
    if (this.#ready.length === 0) await new Promise<void>((wake) => this.#wake = wake);
    const fetched = this.#ready.shift()!;
    if (fetched.failure !== undefined) throw fetched.failure.error;
    return fetched;
  }

  /** Nobody takes any more: every reader gives its context back, at once or when its batch is there. */
  end(): void {
    this.#isOver = true;
    for (const { reader } of this.#ready) reader.close();
  }

  #put(fetched: Fetched): void {
    this.#running--;
    if (this.#isOver) return fetched.reader.close();
    this.#ready.push(fetched);
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** Reads one part, batch by batch. */
class PartReader {
  /** Matching rows so far, when counting only. */
  count = 0;
  readonly #executor: Executor;
  readonly #state: TableState;
  readonly #part: ScanPart;
  readonly #pin: Pin | undefined;
  readonly #options: PatientOptions;
  readonly #countOnly: boolean;
  // Where the server-side context is; 0 = there is none.
  #context = 0;
  #address = "";
  #partition = 0;
  #lastKey: Uint8Array | undefined;
  #opened = false;
  #reopens = 0;

  constructor(
    executor: Executor,
    state: TableState,
    part: ScanPart,
    pin: Pin | undefined,
    options: PatientOptions,
    countOnly: boolean,
  ) {
    this.#executor = executor;
    this.#state = state;
    this.#part = part;
    this.#pin = pin;
    this.#options = options;
    this.#countOnly = countOnly;
  }

  /** Whether the last batch has been read. */
  get isOver(): boolean {
    return this.#opened && this.#context === 0;
  }

  /** The next rows, maybe none. */
  async next(): Promise<readonly Row[]> {
    const answer = this.#opened ? await this.#continue() : await this.#open();
    this.#opened = true;
    this.#context = answer.context;
    this.count += answer.count;
    const rows = answer.rows.toArray();
    if (rows.length === 0) return rows;
    this.#reopens = 0;
    // A copy: the row would hold its whole batch.
    this.#lastKey = new Uint8Array(rows.at(-1)!.key);
    return rows;
  }

  /** Gives the server-side context back. */
  close(): void {
    if (this.#context === 0) return;
    const request = { partition: this.#partition, context: this.#context };
    this.#context = 0;
    // A context nobody releases expires by itself.
    this.#executor.once(this.#address, ClearScanner, request, BATCH_MS).catch(() => {});
  }

  async #continue() {
    const request = { partition: this.#partition, context: this.#context };
    this.#context = 0;
    try {
      return await this.#executor.once(this.#address, ScanNext, request, BATCH_MS);
    } catch (error) {
      if (!(error instanceof StoreError) || error.code === Err.CLOSED) throw error;
      if (++this.#reopens > REOPENS_MAX) throw error;
      // A counting scan does not know where it was: its part starts again.
      if (this.#countOnly) this.count = 0;
      return await this.#open();
    }
  }

  async #open() {
    const part = this.#part;
    const options = this.#options;
    const startedAt = this.#executor.now();
    const head = toStaleHead(options.stale);
    const request = {
      partition: 0,
      ...head,
      startKey: this.#lastKey ?? part.startKey,
      startInclusive: this.#lastKey === undefined && part.startInclusive,
      stopKey: part.stopKey,
      stopInclusive: part.stopInclusive,
      batchSize: options.batchSize,
      noValue: options.noValue ?? false,
      hashKeyFilter: part.hashKeyFilter,
      sortKeyFilter: part.sortKeyFilter,
      countOnly: this.#countOnly,
      returnExpireTs: options.returnExpireTs ?? false,
    };
    const target = {
      hashKey: part.hashKey,
      sortKey: EMPTY,
      head,
      ...(this.#pin === undefined ? {} : { pin: this.#pin }),
    };
    const timing = {
      kind: "read" as const,
      startedAt,
      timeoutMs: options.timeoutMs,
    };
    const call = new Call(this.#state, GET_SCANNER, request, target, timing);
    const answer = await this.#executor.run(call);
    this.#address = call.address;
    this.#partition = call.partition;
    return answer;
  }
}

function tableRow(row: Row): TableRow {
  // Rows of one answer share memory that is theirs alone (row_block.ts).
  const key = decodeKey(row.key);
  if (key === undefined) {
    throw new StoreError(Err.PROTOCOL_ERROR, "A server sent a row whose key is not a row key");
  }
  const value = row.value ?? EMPTY;
  const { hashKey, sortKey } = key;
  return row.expireTs === undefined
    ? { hashKey, sortKey, value }
    : { hashKey, sortKey, value, expireTs: row.expireTs };
}
