// A replica's whole content for a learner: rows of one snapshot in chunks, the decree they stand for, and the
// exactly-once window. Invariant: decree and rows come from the same snapshot (§15.5), so the learner may
// continue at decree + 1. The replica's own rows are not copied; the window travels as the first row of chunk 0
// under its own key, the rest is made anew by the importer. docs/storage_layout.md, "Images".

import { equalBytes } from "../src/base/bytes.ts";
import { crc32 } from "../src/base/crc.ts";
import type { Decree } from "../src/base/ids.ts";
import { isUserKey } from "../src/schema/key_format.ts";
import {
  appliedOp,
  formatOp,
  parseSessions,
  readApplied,
  SESSIONS_KEY,
  sessionsOp,
  sessionsValue,
} from "./apply.ts";
import {
  type BatchOp,
  type Engine,
  EngineError,
  type EngineIterator,
  type EngineSnapshot,
  META_KEY_PREFIX,
} from "./engine.ts";

/**
 * Default bytes of keys and values after which a chunk ends; the last read of the engine (64 KiB) may exceed them.
 * Both ends handle a chunk in one go, 1 ms for this many.
 */
const IMAGE_CHUNK_BYTES = 256 * 1024;

/** Rows after which a chunk ends, however small they are. */
const CHUNK_ROWS_MAX = 20_000;

/** Rows fetched from the snapshot at a time. */
const BLOCK_ROWS = 1000;

/** A piece of an image. */
export interface ImageChunk {
  /** Alternating key and value. */
  readonly rows: readonly Uint8Array[];
  /** True for the last chunk. */
  readonly done: boolean;
  /** {@link rowsChecksum} of `rows`. */
  readonly checksum: number;
}

/** CRC-32 over all byte strings, one after the other. */
export function rowsChecksum(rows: readonly Uint8Array[]): number {
  let crc = 0;
  for (const part of rows) crc = crc32(part, crc);
  return crc;
}

/** The giving side: one snapshot, read once from the first row to the last. Close it always. */
export class ImageExport {
  /** The decree the image stands for. */
  readonly decree: Decree;
  readonly #snapshot: EngineSnapshot;
  readonly #iterator: EngineIterator;
  readonly #chunkBytesMax: number;
  /** Row that opens chunk 0. */
  readonly #sessions: Uint8Array;
  /** The newest chunk, so that a lost answer can be asked for again. */
  #newest: { readonly position: number; readonly chunk: Promise<ImageChunk> } | undefined;
  #done = false;
  #closing: Promise<void> | undefined;

  /**
   * @param engine Read as of now.
   * @param sessions Exactly-once window as of the engine's applied decree: no apply may be running.
   * @throws {EngineError}
   */
  constructor(
    engine: Engine,
    sessions: Uint8Array,
    options: { readonly chunkBytesMax?: number } = {},
  ) {
    this.#chunkBytesMax = options.chunkBytesMax ?? IMAGE_CHUNK_BYTES;
    this.#snapshot = engine.snapshot();
    try {
      this.decree = readApplied(this.#snapshot);
      this.#sessions = sessionsValue(this.decree, sessions);
      this.#iterator = this.#snapshot.range({ lt: META_KEY_PREFIX });
    } catch (error) {
      // Nobody else can.
      this.#snapshot.close().catch(() => {});
      throw error;
    }
  }

  /**
   * The chunk number `position`, from 0 on. Only the newest one may be asked for again: it is the same then.
   *
   * @returns `undefined` for any other position, and after the image was closed.
   * @throws {EngineError} If the rows cannot be read; every later call for this position throws the same.
   */
  chunk(position: number): Promise<ImageChunk> | undefined {
    if (this.#closing !== undefined) return undefined;
    const newest = this.#newest;
    if (position === newest?.position) return newest.chunk;
    if (position !== (newest === undefined ? 0 : newest.position + 1) || this.#done) {
      return undefined;
    }
    // Chunks are read one after the other even if a peer asks for the next one too early.
    const chunk = (newest?.chunk ?? Promise.resolve()).then(() => this.#read(position));
    chunk.catch(() => {
      // Reported to whoever asked.
    });
    this.#newest = { position, chunk };
    return chunk;
  }

  /** Waits for a running chunk, then releases the snapshot. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#newest?.chunk.catch(() => {
        // Whoever asked for the chunk knows.
      });
      await this.#iterator.close();
      await this.#snapshot.close();
    })();
    return this.#closing;
  }

  async #read(position: number): Promise<ImageChunk> {
    const rows: Uint8Array[] = position === 0 ? [SESSIONS_KEY, this.#sessions] : [];
    let left = this.#chunkBytesMax;
    let rowsLeft = CHUNK_ROWS_MAX;
    while (left > 0 && rowsLeft > 0) {
      const entries = await this.#iterator.next(Math.min(rowsLeft, BLOCK_ROWS), left);
      if (entries.length === 0) {
        this.#done = true;
        break;
      }
      for (const [key, value] of entries) {
        // Rows under the empty key and other non-row keys never exist; an image must not spread damage.
        if (!isUserKey(key)) {
          throw new EngineError("corruption", "A key below the meta keys names no row");
        }
        rows.push(key, value);
        left -= key.length + value.length;
      }
      rowsLeft -= entries.length;
    }
    return { rows, done: this.#done, checksum: rowsChecksum(rows) };
  }
}

/** The taking side: fills a fresh engine. Give up by discarding the engine. */
export class ImageImport {
  readonly #engine: Engine;
  #sessions: { readonly decree: Decree; readonly image: Uint8Array } | undefined;
  #rows = 0;

  /** @param engine Empty, and used by nobody else until {@link finish} returned. */
  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Rows of users written so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Writes one chunk. Repeating a chunk is harmless.
   *
   * @returns What is wrong with the chunk, `undefined` if it was written. A bad chunk leaves no trace: ask again.
   * @throws {EngineError} If the engine refuses.
   */
  async add(rows: readonly Uint8Array[], checksum: number): Promise<string | undefined> {
    if (rows.length % 2 !== 0) return "Chunk has a key without a value";
    if (rowsChecksum(rows) !== checksum) return "Chunk does not match its checksum";
    const ops: BatchOp[] = [];
    let sessions: Uint8Array | undefined;
    for (let i = 0; i < rows.length; i += 2) {
      const key = rows[i]!;
      const value = rows[i + 1]!;
      if (isUserKey(key)) ops.push({ type: "put", key, value });
      else if (equalBytes(key, SESSIONS_KEY)) sessions = value;
      else return "Chunk holds a key that names no row";
    }
    if (sessions !== undefined) {
      if (sessions.length < 8) return "Sessions row is too short";
      // A copy: the row is a view into a received frame.
      this.#sessions = parseSessions(new Uint8Array(sessions));
    }
    await this.#engine.write(ops);
    this.#rows += ops.length;
    return undefined;
  }

  /**
   * Writes the replica's own rows and makes everything durable.
   *
   * @param decree What the giving side said the image stands for.
   * @returns The exactly-once window as of `decree`.
   * @throws {EngineError} `corruption` if chunk 0 is missing or belongs to another image.
   */
  async finish(decree: Decree): Promise<{ decree: Decree; sessions: Uint8Array }> {
    const sessions = this.#sessions;
    if (sessions?.decree !== decree) {
      const got = sessions === undefined ? "none" : `one of decree ${sessions.decree}`;
      throw new EngineError(
        "corruption",
        `Image of decree ${decree} needs its exactly-once window, got ${got}`,
      );
    }
    await this.#engine.write([formatOp(), sessionsOp(decree, sessions.image), appliedOp(decree)]);
    await this.#engine.flush();
    return { decree, sessions: sessions.image };
  }
}
