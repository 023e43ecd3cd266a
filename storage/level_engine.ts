// The storage engine over LevelDB; the only importer of classic-level. Reads are synchronous (400-500 k/s warm,
// an awaited get makes 25 k/s). Invariant: writes reach LevelDB in the order of their calls, and `flush` returns
// only when LevelDB has proven that the memtable became a synced table: docs/storage_layout.md, "Engine".

import { ClassicLevel } from "classic-level";
import { EMPTY } from "../src/base/bytes.ts";
import { FORMAT_KEY } from "./apply.ts";
import {
  type BatchOp,
  type Engine,
  EngineError,
  type EngineIterator,
  type EngineSnapshot,
  type Entry,
  META_KEY_PREFIX,
  type RangeOptions,
} from "./engine.ts";
import { ExternalMemory } from "./external_memory.ts";
import { KeptBatches, type NativeBatch } from "./level_batches.ts";
import { closedError, engineError } from "./level_errors.ts";
import { logFilesOf, whyLogStayed } from "./level_files.ts";
import { damagedTable } from "./level_tables.ts";
import { RowCheck, RowSeal } from "./row_checksum.ts";

type Db = ClassicLevel<Uint8Array, Uint8Array>;
type DbIterator = ReturnType<typeof makeIterator>;
type DbSnapshot = ReturnType<Db["snapshot"]>;

/** Memory and layout of one LevelDB. */
export interface LevelOptions {
  /** Bytes of the memtable; up to two are held. @default 4 MiB */
  readonly writeBufferBytes?: number;
  /** Bytes of the cache of uncompressed blocks. @default 8 MiB */
  readonly cacheBytes?: number;
  /**
   * Size of a table file. Larger ones are fewer to keep open, and make compactions come in larger bursts: with 8 MiB
   * P99 of a set was 33 ms in a burst, with 4 MiB 12. LevelDB maps the first 1000 of a process. @default 4 MiB
   */
  readonly tableBytes?: number;
  /** Table files kept open. A get from 1.2 GB took 30 us while half of its tables were not, 4 since. @default 1024 */
  readonly openFilesMax?: number;
  /** Compress blocks with Snappy. @default true */
  readonly compression?: boolean;
  /** Make the directory if it holds no database. @default true */
  readonly createIfMissing?: boolean;
}

/** No user key and no meta key touches [LOWEST, LOWEST], so compacting it rewrites no table. */
const LOWEST = new Uint8Array([0x00]);

/** A key that never exists; deleting it asks LevelDB whether it still accepts writes. */
const PROBE = new Uint8Array([...META_KEY_PREFIX, 0x00]);

/** Bytes after which one native read returns; bounds what an iterator holds in memory. */
const NATIVE_CHUNK_BYTES = 64 * 1024;

/** Of one row of a native read, beside its bytes. */
const ROOM_BYTES = 64;

/**
 * What closed iterators and batches that were given up hold until they are collected. Servers under scans of 100 rows
 * took 395 to 528 MB without this and take 146 to 164 with it.
 */
const garbage = new ExternalMemory();
const batches = new KeptBatches((bytes) => garbage.abandon(bytes));
const seal = new RowSeal();

const VIEWS = { keyEncoding: "view", valueEncoding: "view" } as const;

/**
 * LevelDB calls a file that its own files name, and that is not there, an I/O error like a disk that fails. It is
 * damage: trying again brings nothing. (A missing directory is made.)
 */
const MISSING_FILE = /IO error: .*: No such file or directory$/s;

/**
 * Opens or creates the database in `dir`.
 *
 * @throws {EngineError} `locked` if another process or engine has it open, `corruption` if its files do not
 * fit together, `io` for anything the file system refused.
 */
export async function openLevelEngine(dir: string, options: LevelOptions = {}): Promise<Engine> {
  const db = await openDb(dir, options);
  try {
    return new LevelEngine(db, dir, hasChecksums(db));
  } catch (error) {
    await db.close();
    throw engineError(`Cannot read the data version in "${dir}"`, error);
  }
}

/**
 * Whether the rows have checksums. The row of the data version tells: it has one itself, or is a single byte as
 * servers wrote it that knew of none. A new database gets them.
 */
function hasChecksums(db: Db): boolean {
  return db.getSync(FORMAT_KEY)?.length !== 1;
}

async function openDb(dir: string, options: LevelOptions): Promise<Db> {
  const damage = await damagedTable(dir);
  if (damage !== undefined) {
    throw new EngineError("corruption", `Cannot open the database in "${dir}": ${damage}`);
  }
  const db: Db = new ClassicLevel<Uint8Array, Uint8Array>(dir, {
    ...VIEWS,
    writeBufferSize: options.writeBufferBytes ?? 4 * 1024 * 1024,
    cacheSize: options.cacheBytes ?? 8 * 1024 * 1024,
    maxFileSize: options.tableBytes ?? 4 * 1024 * 1024,
    maxOpenFiles: options.openFilesMax ?? 1024,
    compression: options.compression ?? true,
    createIfMissing: options.createIfMissing ?? true,
  });
  try {
    await db.open();
  } catch (error) {
    // LevelDB reports the reason as the cause of "not open".
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const failure = engineError(`Cannot open the database in "${dir}"`, cause);
    if (!MISSING_FILE.test(failure.message)) throw failure;
    throw new EngineError("corruption", failure.message, { cause });
  }
  return db;
}

/**
 * What LevelDB tells of its files: statistics by level, and the tables with their key ranges.
 *
 * @throws {EngineError} As {@link openLevelEngine}.
 */
export async function describeLevel(
  dir: string,
): Promise<{ readonly stats: string; readonly tables: string }> {
  const db = await openDb(dir, { createIfMissing: false });
  try {
    return { stats: db.getProperty("leveldb.stats"), tables: db.getProperty("leveldb.sstables") };
  } finally {
    await db.close();
  }
}

class LevelEngine implements Engine {
  readonly #db: Db;
  readonly #dir: string;
  readonly #check: RowCheck;
  /** End of the chain of writes; never rejects. */
  #tail: Promise<void> = Promise.resolve();
  /** Operations that must end before the native database may be freed. */
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(db: Db, dir: string, hasChecksums: boolean) {
    this.#db = db;
    this.#dir = dir;
    this.#check = new RowCheck(hasChecksums);
  }

  get damage(): string | undefined {
    return this.#check.damage;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#check.open(key, this.#db.getSync(key));
    } catch (error) {
      throw engineError("Cannot read a row", error);
    }
  }

  write(ops: Iterable<BatchOp>): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    let written: Promise<void>;
    try {
      // A chained batch copies into native memory at once and makes 460 k rows/s where an array batch makes
      // 330 k (rows of 100 B, batches of 100).
      const make = () => this.#db.batch() as unknown as NativeBatch;
      const batch = batches.fill(this, make, (native) => this.#addAll(native, ops));
      // LevelDB's worker threads may overtake each other: one write at a time.
      written = this.#tail.then(() => batches.write(this, batch));
    } catch (error) {
      return Promise.reject(engineError("Cannot write a batch", error));
    }
    this.#tail = written.catch(() => {});
    return this.#track(written.catch((error) => {
      throw engineError("Cannot write a batch", error);
    }));
  }

  /** @returns The bytes that the operations take in the batch at most: its memory doubles as it grows. */
  #addAll(batch: NativeBatch, ops: Iterable<BatchOp>): number {
    let bytes = 0;
    for (const op of ops) {
      const { key } = op;
      bytes += key.length;
      if (op.type === "del") batch._del(key);
      else {
        batch._put(key, this.#check.hasChecksums ? seal.close(key, op.value) : op.value);
        bytes += op.value.length;
      }
    }
    return 2 * bytes;
  }

  apply(ops: Iterable<BatchOp>): Promise<void> {
    return this.write(ops);
  }

  exclusive(take: () => void): void {
    take();
  }

  range(options: RangeOptions): EngineIterator {
    this.#assertOpen();
    return newIterator(this.#db, options, this.#check);
  }

  snapshot(): EngineSnapshot {
    this.#assertOpen();
    return new LevelSnapshot(this.#db, this.#db.snapshot(), this.#check);
  }

  tableFiles(): string[] {
    this.#assertOpen();
    // One line per table: " 5:1234['first' @ 7 : 1 .. 'last' @ 9 : 1]", with line ends in keys written as codes.
    const lines = this.#db.getProperty("leveldb.sstables").matchAll(/^ (\d+):\d+\[/gm);
    return [...lines].map(([, number]) => `${this.#dir}/${number!.padStart(6, "0")}.ldb`);
  }

  async flush(): Promise<void> {
    this.#assertOpen();
    await this.#tail;
    const before = logFilesOf(this.#dir);
    // compactRange on a range without tables switches the memtable, waits until it is a table, syncs table,
    // manifest and directory, and finds nothing to compact. It reports no errors, so both are proven apart:
    // a log file leaves the directory only after the manifest names the table made of it, and after a failed
    // background job LevelDB refuses every later write.
    await this.#native("Cannot flush", () => this.#db.compactRange(LOWEST, LOWEST));
    await this.write([{ type: "del", key: PROBE }]);
    const after = logFilesOf(this.#dir);
    const kept = before.find((name) => after.includes(name));
    if (before.length === 0 || kept !== undefined) {
      const what = `Cannot flush "${this.#dir}": log file "${kept ?? ""}" stayed`;
      throw new EngineError(whyLogStayed(this.#dir), what);
    }
  }

  async compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    await this.#native("Cannot compact", () => this.#db.compactRange(start, end));
  }

  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number> {
    return this.#native("Cannot estimate a size", () => this.#db.approximateSize(start, end));
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.allSettled([this.#tail, ...this.#running]);
      batches.drop(this);
      try {
        await this.#db.close();
      } catch (error) {
        throw engineError("Cannot close the database", error);
      }
    })();
    return this.#closing;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  async #native<T>(what: string, run: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    try {
      return await this.#track(run());
    } catch (error) {
      throw engineError(what, error);
    }
  }

  #track<T>(promise: Promise<T>): Promise<T> {
    this.#running.add(promise);
    const done = () => this.#running.delete(promise);
    promise.then(done, done);
    return promise;
  }
}

class LevelSnapshot implements EngineSnapshot {
  readonly #db: Db;
  readonly #snapshot: DbSnapshot;
  readonly #check: RowCheck;

  constructor(db: Db, snapshot: DbSnapshot, check: RowCheck) {
    this.#db = db;
    this.#snapshot = snapshot;
    this.#check = check;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      const stored = this.#db.getSync(key, { ...VIEWS, snapshot: this.#snapshot });
      return this.#check.open(key, stored);
    } catch (error) {
      throw engineError("Cannot read a row of a snapshot", error);
    }
  }

  range(options: RangeOptions): EngineIterator {
    return newIterator(this.#db, options, this.#check, this.#snapshot);
  }

  async close(): Promise<void> {
    await this.#snapshot.close();
  }
}

class LevelIterator implements EngineIterator {
  readonly #iterator: DbIterator;
  readonly #check: RowCheck;
  /** Bytes of the last native read and room for its rows: the addon keeps them until this is collected. */
  #heldBytes = 0;

  constructor(iterator: DbIterator, check: RowCheck) {
    this.#iterator = iterator;
    this.#check = check;
  }

  async next(count: number, bytesMax = Infinity): Promise<Entry[]> {
    let entries: Entry[] = [];
    let bytes = 0;
    try {
      // One native read ends early at NATIVE_CHUNK_BYTES; only an empty one means the end.
      while (entries.length < count && bytes < bytesMax) {
        const wanted = count - entries.length;
        const part = await this.#iterator.nextv(wanted) as Entry[];
        if (part.length === 0) break;
        const before = bytes;
        for (let i = 0; i < part.length; i++) {
          const [key, value] = part[i]!;
          // Without values LevelDB yields undefined.
          if (value === undefined) part[i] = [key, EMPTY];
          else {
            if (this.#check.hasChecksums) part[i] = [key, this.#check.open(key, value)!];
            bytes += value.length;
          }
          bytes += key.length;
        }
        this.#heldBytes = bytes - before + wanted * ROOM_BYTES;
        entries = entries.length === 0 ? part : [...entries, ...part];
      }
    } catch (error) {
      throw engineError("Cannot read a range", error);
    }
    return entries;
  }

  async close(): Promise<void> {
    await this.#iterator.close();
    garbage.abandon(this.#heldBytes);
    this.#heldBytes = 0;
  }
}

function newIterator(
  db: Db,
  options: RangeOptions,
  check: RowCheck,
  snapshot?: DbSnapshot,
): EngineIterator {
  try {
    return new LevelIterator(makeIterator(db, options, snapshot), check);
  } catch (error) {
    throw engineError("Cannot open a range", error);
  }
}

function makeIterator(db: Db, options: RangeOptions, snapshot: DbSnapshot | undefined) {
  return db.iterator<Uint8Array, Uint8Array>({
    ...VIEWS,
    ...(options.gte === undefined ? {} : { gte: options.gte }),
    ...(options.gt === undefined ? {} : { gt: options.gt }),
    ...(options.lt === undefined ? {} : { lt: options.lt }),
    ...(options.lte === undefined ? {} : { lte: options.lte }),
    ...(snapshot === undefined ? {} : { snapshot }),
    reverse: options.reverse ?? false,
    values: options.values ?? true,
    highWaterMarkBytes: NATIVE_CHUNK_BYTES,
  });
}
