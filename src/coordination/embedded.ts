// Meta's store on one machine: a tree in memory, a log of atomic groups, now and then a snapshot.
// Invariants: a promise resolves only after the fdatasync that covers its change; nothing unsynced
// is ever read; after a failed write nothing is accepted any more (the file's state is unknown);
// only the newest reign writes. A group is one checksummed block, so a crash can tear only the last
// block; anything else that is wrong is damage, and damage is refused instead of skipped. See
// docs/meta.md, "Embedded store".

import { crc32 } from "../base/crc.ts";
import { type FileHandle, type Files, isNoSpace } from "../base/files.ts";
import { decode, encode } from "../schema/codec.ts";
import { bytes, choice, i53, list, type Of, str, struct, u53 } from "../schema/field.ts";
import {
  type Coordinator,
  CoordinatorError,
  type LeadershipEvent,
  type StoredNode,
  type StoreOp,
} from "./coordinator.ts";
import { StoreTree } from "./store_tree.ts";

const LOG_NAME = "store.log";
const SNAPSHOT_NAME = "store.snapshot";
/** "PGMS": starts every block of the log and the snapshot. */
const MAGIC = 0x50474d53;
const HEADER_BYTES = 12;
/** Pause before a full disk is tried again, ms. */
const FULL_RETRY_MS = 200;

const storedOp = struct({
  op: choice("create", "set", "delete"),
  path: str,
  value: bytes,
});
const block = struct({
  /** 1, 2, 3, ...; a snapshot carries that of the last block it contains. */
  sequence: u53,
  /** The newest reign as of this block. */
  epoch: u53,
  ops: list(storedOp),
});
const snapshot = struct({
  sequence: u53,
  epoch: u53,
  nodes: list(struct({ path: str, value: bytes, version: i53 })),
});

interface Waiting {
  readonly ops: readonly StoreOp[];
  /** "next" starts a reign, and resolves with its number. */
  readonly epoch: number | "next";
  resolve(versions: number[]): void;
  reject(error: CoordinatorError): void;
}

/** Options of {@link EmbeddedCoordinator.open}. */
export interface EmbeddedOptions {
  readonly files: Files;
  /** Absolute path of a directory of its own. */
  readonly dir: string;
  /** A log of so many bytes is folded into the snapshot. @default 4 MiB */
  readonly compactBytes?: number;
  /** The disk is full; once per change that waits for room. @default nobody is told */
  readonly onFull?: (error: Error) => void;
}

/** See the file comment. */
export class EmbeddedCoordinator implements Coordinator {
  readonly #files: Files;
  readonly #dir: string;
  readonly #compactBytes: number;
  readonly #lock: { release(): void };
  readonly #log: FileHandle;
  readonly #tree = new StoreTree();
  /** Directories that got an entry on the way to ours: synced before anything is promised. */
  readonly #newDirs: string[] = [];

  readonly #onFull: (error: Error) => void;
  #position = 0;
  #sequence = 0;
  #epoch = 0;
  #compactAt: number;
  readonly #queue: Waiting[] = [];
  /** Settles when the queue is empty; undefined while nothing is being written. */
  #pumping: Promise<void> | undefined;
  #poison: string | undefined;
  #closed = false;
  #onEvent: ((event: LeadershipEvent) => void) | undefined;

  private constructor(options: EmbeddedOptions) {
    this.#files = options.files;
    this.#dir = options.dir;
    this.#compactBytes = options.compactBytes ?? 4 * 1024 * 1024;
    this.#compactAt = this.#compactBytes;
    this.#onFull = options.onFull ?? (() => {});
    for (let at = this.#dir; at !== "/" && !this.#files.exists(at); at = parentOf(at)) {
      this.#newDirs.push(parentOf(at));
    }
    this.#files.makeDir(this.#dir);
    this.#lock = this.#files.lockDir(this.#dir);
    try {
      this.#readSnapshot();
      this.#log = this.#files.open(`${this.#dir}/${LOG_NAME}`, "create");
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  /**
   * Opens the store, replays its log and drops a torn tail.
   *
   * @throws {Error} If the directory is in use by another process, or its content is damaged.
   */
  static async open(options: EmbeddedOptions): Promise<EmbeddedCoordinator> {
    const store = new EmbeddedCoordinator(options);
    try {
      store.#replay();
      store.#log.truncate(store.#position);
      await store.#log.sync();
      await store.#files.syncDir(store.#dir);
      for (const dir of store.#newDirs) await store.#files.syncDir(dir);
    } catch (error) {
      store.#log.close();
      store.#lock.release();
      throw error;
    }
    return store;
  }

  get description(): string {
    return `embedded:${this.#dir}`;
  }

  async get(path: string): Promise<StoredNode | undefined> {
    await this.#settled();
    return this.#tree.get(path);
  }

  async children(path: string): Promise<string[]> {
    await this.#settled();
    return this.#tree.children(path);
  }

  multi(ops: readonly StoreOp[], epoch: number): Promise<number[]> {
    return this.#submit(ops, epoch);
  }

  campaign(_name: string, onEvent: (event: LeadershipEvent) => void): void {
    const previous = this.#onEvent;
    this.#onEvent = onEvent;
    previous?.({ kind: "lost", reason: "A newer campaign on the same store began" });
    // The new reign is written like a change, so that every earlier reign is fenced even after a
    // restart.
    this.#submit([], "next").then(
      ([epoch]) => onEvent({ kind: "elected", epoch: epoch! }),
      (error) => onEvent({ kind: "lost", reason: String(error) }),
    );
  }

  leaderUntil(): number {
    return this.#refusal() === undefined ? Infinity : -Infinity;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pumping;
    this.#onEvent = undefined;
    this.#log.close();
    this.#lock.release();
  }

  #submit(ops: readonly StoreOp[], epoch: number | "next"): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal();
      if (refusal !== undefined) return reject(refusal);
      this.#queue.push({ ops, epoch, resolve, reject });
      this.#pumping ??= this.#pump();
    });
  }

  #refusal(): CoordinatorError | undefined {
    if (this.#closed) return new CoordinatorError("closed", "The store is closed");
    if (this.#poison === undefined) return undefined;
    return new CoordinatorError(
      "closed",
      `The store stopped after a failed write: ${this.#poison}`,
    );
  }

  /** Reads wait for the group being written: what it holds is in the tree but not yet durable. */
  async #settled(): Promise<void> {
    while (this.#pumping !== undefined) await this.#pumping;
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
  }

  async #pump(): Promise<void> {
    // Whatever the callers of this turn of the event loop submit shares one fdatasync.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#writeGroup(this.#queue.splice(0));
    this.#pumping = undefined;
  }

  async #writeGroup(group: Waiting[]): Promise<void> {
    const ops: Of<typeof storedOp>[] = [];
    const done: { waiting: Waiting; versions: number[] }[] = [];
    const epochBefore = this.#epoch;
    for (const waiting of group) {
      const versions = this.#apply(waiting);
      if (versions === undefined) continue;
      done.push({ waiting, versions });
      for (const op of waiting.ops) {
        if (op.op === "check") continue;
        ops.push({ op: op.op, path: op.path, value: op.op === "delete" ? NO_BYTES : op.value });
      }
    }
    try {
      if (this.#poison !== undefined) throw new Error(this.#poison);
      if (ops.length > 0 || this.#epoch !== epochBefore) await this.#append(ops);
    } catch (error) {
      this.#fail(error);
      for (const { waiting } of done) {
        waiting.reject(new CoordinatorError("unknown", "The write failed", { cause: error }));
      }
      return;
    }
    for (const { waiting, versions } of done) waiting.resolve(versions);
    if (this.#position >= this.#compactAt) await this.#compact();
  }

  /** Applies one group to the tree, or rejects it. */
  #apply(waiting: Waiting): number[] | undefined {
    if (waiting.epoch === "next") return [++this.#epoch];
    if (waiting.epoch !== this.#epoch) {
      const text = `The write belongs to reign ${waiting.epoch}, the newest is ${this.#epoch}`;
      waiting.reject(new CoordinatorError("notLeader", text));
      return undefined;
    }
    try {
      return this.#tree.apply(waiting.ops);
    } catch (error) {
      if (!(error instanceof CoordinatorError)) throw error;
      waiting.reject(error);
      return undefined;
    }
  }

  async #append(ops: Of<typeof storedOp>[]): Promise<void> {
    const sealed = seal(encode(block, { sequence: this.#sequence + 1, epoch: this.#epoch, ops }));
    await this.#write(sealed);
    await this.#log.sync();
    this.#sequence++;
    this.#position += sealed.length;
  }

  /** A full disk is waited for: nothing is lost by it, and a meta that ended would take every lease with it. */
  async #write(sealed: Uint8Array): Promise<void> {
    for (let attempt = 0;; attempt++) {
      try {
        return this.#log.write(sealed, this.#position);
      } catch (error) {
        if (!isNoSpace(error) || this.#closed) throw error;
        if (attempt === 0) this.#onFull(error as Error);
        await new Promise((resolve) => setTimeout(resolve, FULL_RETRY_MS));
      }
    }
  }

  /** After a failed write or sync the disk's content is unknown: no second try on the same file. */
  #fail(error: unknown): void {
    if (this.#poison !== undefined) return;
    this.#poison = error instanceof Error ? error.message : String(error);
    this.#onEvent?.({ kind: "lost", reason: `The store failed: ${this.#poison}` });
  }

  async #compact(): Promise<void> {
    const nodes = this.#tree.all();
    const content = encode(snapshot, { sequence: this.#sequence, epoch: this.#epoch, nodes });
    try {
      await this.#files.writeFileAtomic(`${this.#dir}/${SNAPSHOT_NAME}`, seal(content));
    } catch {
      // The log still holds everything; a full disk may have room later.
      this.#compactAt = this.#position + this.#compactBytes;
      return;
    }
    try {
      // Blocks that a crash leaves behind here are in the snapshot already: replay skips their
      // sequence.
      this.#log.truncate(0);
      await this.#log.sync();
      this.#position = 0;
      this.#compactAt = this.#compactBytes;
    } catch (error) {
      this.#fail(error);
    }
  }

  #readSnapshot(): void {
    const path = `${this.#dir}/${SNAPSHOT_NAME}`;
    if (!this.#files.exists(path)) return;
    const file = this.#files.readFile(path);
    const content = unseal(file, 0);
    if (content === undefined || content.end !== file.length) throw damaged(path, 0);
    const { sequence, epoch, nodes } = decode(snapshot, content.payload, "snapshot");
    this.#sequence = sequence;
    this.#epoch = epoch;
    this.#tree.load(nodes);
  }

  #replay(): void {
    const path = `${this.#dir}/${LOG_NAME}`;
    const file = this.#files.readFile(path);
    for (let at = 0; at < file.length;) {
      const content = unseal(file, at);
      if (content === undefined) {
        // A torn block is the last thing in the file. A good one behind it proves damage of synced
        // data.
        if (hasBlockAfter(file, at + 1)) throw damaged(path, at);
        return;
      }
      const { sequence, epoch, ops } = decode(block, content.payload, "block");
      if (sequence > this.#sequence + 1) throw damaged(path, at);
      if (sequence > this.#sequence) {
        this.#tree.apply(ops.map(asStoreOp));
        this.#sequence = sequence;
        this.#epoch = epoch;
      }
      at = content.end;
      this.#position = at;
    }
  }
}

const NO_BYTES = new Uint8Array(0);

/** The versions were checked when the operation was accepted. */
function asStoreOp(stored: Of<typeof storedOp>): StoreOp {
  const { op, path, value } = stored;
  return op === "create" ? { op, path, value } : { op, path, value, version: -1 };
}

/** u32 magic, u32 length, u32 CRC-32 of the payload, payload. Big-endian. */
function seal(payload: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(sealed.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, payload.length);
  view.setUint32(8, crc32(payload));
  sealed.set(payload, HEADER_BYTES);
  return sealed;
}

function unseal(file: Uint8Array, at: number): { payload: Uint8Array; end: number } | undefined {
  if (file.length - at < HEADER_BYTES) return undefined;
  const view = new DataView(file.buffer, file.byteOffset + at, HEADER_BYTES);
  if (view.getUint32(0) !== MAGIC) return undefined;
  const end = at + HEADER_BYTES + view.getUint32(4);
  if (end > file.length) return undefined;
  const payload = file.subarray(at + HEADER_BYTES, end);
  return crc32(payload) === view.getUint32(8) ? { payload, end } : undefined;
}

function hasBlockAfter(file: Uint8Array, start: number): boolean {
  const first = MAGIC >>> 24;
  for (let at = file.indexOf(first, start); at >= 0; at = file.indexOf(first, at + 1)) {
    if (unseal(file, at) !== undefined) return true;
  }
  return false;
}

function damaged(path: string, offset: number): Error {
  return new Error(
    `Cannot open "${path}": damaged at byte ${offset}; restore the directory from a copy`,
  );
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}
