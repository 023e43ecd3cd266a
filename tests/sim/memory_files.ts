// A disk that forgets: the twin of storage/disk_files.ts for tests and the simulator. Every file
// has durable bytes and a list of unsynced operations, every directory has durable entries and a
// list of unsynced changes. A process crash keeps all that was written; a power loss keeps a random
// part of what was not synced. Invariant: what sync() or syncDir() has confirmed survives both. The
// faults are those of docs/testing.md.

import { type FileHandle, type Files, FilesError } from "../../src/base/files.ts";
import type { Prng } from "../../src/base/prng.ts";
import {
  type FileOp,
  filesBelow,
  loseEntries,
  MemoryDir,
  MemoryFile,
  type MemoryNode,
} from "./memory_nodes.ts";

/** What the model counted. */
export interface FilesCounters {
  writes: number;
  syncs: number;
  dirSyncs: number;
}

/** A modelled disk; see the file comment. */
export class MemoryFiles implements Files {
  readonly #root = new MemoryDir();
  readonly #locks = new Set<string>();
  /** Handles opened before a crash are dead after it. */
  #life = 0;
  readonly counters: FilesCounters = { writes: 0, syncs: 0, dirSyncs: 0 };
  /** Bytes that still fit; a write beyond them is short and fails with `noSpace`. */
  bytesFree = Infinity;
  /**
   * Called with the path before each operation; what it throws (a FilesError) is the operation's
   * failure.
   */
  fault: (operation: "write" | "sync" | "syncDir" | "open" | "remove", path: string) => void =
    () => {};
  /**
   * Awaited before an async sync confirms anything: a slow disk, or one that is crashed meanwhile.
   */
  delay: (path: string) => Promise<void> = () => Promise.resolve();

  open(path: string, mode: "read" | "write" | "create" | "createNew"): FileHandle {
    this.fault("open", path);
    const { dir, name } = this.#parent(path);
    let node = dir.current.get(name);
    if (node instanceof MemoryDir) throw new FilesError("io", `Cannot open "${path}": a directory`);
    if (node !== undefined && mode === "createNew") {
      throw new FilesError("exists", `Cannot open "${path}": it exists`);
    }
    if (node === undefined) {
      if (mode === "read" || mode === "write") {
        throw new FilesError("notFound", `Cannot open "${path}": no such file`);
      }
      node = new MemoryFile();
      dir.change({ name, node });
    }
    return new MemoryHandle(this, path, node, mode === "read", this.#life);
  }

  exists(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  readFile(path: string): Uint8Array {
    return this.#file(path).current.view().slice();
  }

  async writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${path}.tmp`;
    const file = this.open(temporary, "create");
    try {
      file.truncate(0);
      file.write(bytes, 0);
      await file.sync();
    } finally {
      file.close();
    }
    this.rename(temporary, path);
    await this.syncDir(path.slice(0, Math.max(1, path.lastIndexOf("/"))));
  }

  list(path: string): string[] {
    const node = this.#find(path);
    return node instanceof MemoryDir ? [...node.current.keys()].sort() : [];
  }

  makeDir(path: string): void {
    let dir = this.#root;
    for (const name of parts(path)) {
      let next = dir.current.get(name);
      if (next === undefined) dir.change({ name, node: next = new MemoryDir() });
      if (next instanceof MemoryFile) {
        throw new FilesError("exists", `Cannot make "${path}": a file is in the way`);
      }
      dir = next;
    }
  }

  rename(from: string, to: string): void {
    const source = this.#parent(from);
    const target = this.#parent(to);
    const node = source.dir.current.get(source.name);
    if (node === undefined) throw new FilesError("notFound", `Cannot rename "${from}": not found`);
    const gone = { name: source.name, node: undefined };
    const there = { name: target.name, node };
    if (source.dir === target.dir) return source.dir.change(gone, there);
    target.dir.change(there);
    source.dir.change(gone);
  }

  async syncDir(path: string): Promise<void> {
    const node = this.#find(path);
    if (!(node instanceof MemoryDir)) {
      throw new FilesError("notFound", `Cannot sync "${path}": no such directory`);
    }
    this.counters.dirSyncs++;
    const life = this.#life;
    const newest = node.unsynced.at(-1);
    await this.delay(path);
    this.checkLife(life, path);
    this.fault("syncDir", path);
    if (newest !== undefined) node.commit(node.unsynced.indexOf(newest) + 1);
  }

  remove(path: string): void {
    this.fault("remove", path);
    if (this.#find(path) === undefined) return;
    const { dir, name } = this.#parent(path);
    dir.change({ name, node: undefined });
  }

  async discard(path: string): Promise<void> {
    const life = this.#life;
    await this.delay(path);
    this.checkLife(life, path);
    this.remove(path);
  }

  lockDir(path: string): { release(): void } {
    if (this.#locks.has(path)) throw new FilesError("exists", `Cannot use "${path}": locked`);
    this.#locks.add(path);
    return { release: () => void this.#locks.delete(path) };
  }

  /** Ends every handle; everything written stays in the page cache. */
  processCrash(): void {
    this.#life++;
    this.#locks.clear();
  }

  /** Ends every handle and keeps, of what was not synced, only what chance leaves. */
  powerLoss(prng: Prng): void {
    this.processCrash();
    loseEntries(this.#root, prng, new Set());
  }

  /** Flips random bits in the durable and current bytes of a file, or of a part of it. */
  flipBits(path: string, prng: Prng, count: number, part?: { from: number; to: number }): void {
    const file = this.#file(path);
    const from = part?.from ?? 0;
    const to = Math.min(part?.to ?? Infinity, file.current.size);
    for (let i = 0; i < count && to > from; i++) {
      const at = from + prng.below(to - from);
      const mask = 1 << prng.below(8);
      for (const content of [file.current, file.durable]) {
        if (at < content.size) content.view()[at]! ^= mask;
      }
    }
  }

  /** Removes a file or tree for good. */
  removeDurably(path: string): void {
    const { dir, name } = this.#parent(path);
    dir.change({ name, node: undefined });
    dir.commit(dir.unsynced.length);
  }

  /** Whether a power loss could take anything. */
  get hasUnsynced(): boolean {
    return filesBelow(this.#root, "").some(([, file]) => file.unsynced.length > 0);
  }

  /** Paths of all files. */
  paths(): string[] {
    return filesBelow(this.#root, "").map(([path]) => path);
  }

  /** A copy of a file's durable bytes. */
  durableBytes = (path: string): Uint8Array => this.#file(path).durable.view().slice();

  /** Replaces a file's bytes, durably. */
  overwrite(path: string, bytes: Uint8Array): void {
    const file = this.#file(path);
    file.unsynced = [];
    for (const content of [file.current, file.durable]) {
      content.resize(0);
      content.apply({ kind: "write", position: 0, bytes });
    }
  }

  checkLife(life: number, path: string): void {
    if (life !== this.#life) {
      throw new FilesError("io", `Cannot use "${path}": the machine crashed`);
    }
  }

  #find(path: string): MemoryNode | undefined {
    let node: MemoryNode | undefined = this.#root;
    for (const name of parts(path)) {
      node = node instanceof MemoryDir ? node.current.get(name) : undefined;
    }
    return node;
  }

  #file(path: string): MemoryFile {
    const node = this.#find(path);
    if (node instanceof MemoryFile) return node;
    throw new FilesError("notFound", `Cannot read "${path}": no such file`);
  }

  #parent(path: string): { dir: MemoryDir; name: string } {
    const names = parts(path);
    const name = names.pop() ?? "";
    const dir = this.#find(names.join("/"));
    if (dir instanceof MemoryDir) return { dir, name };
    throw new FilesError("notFound", `Cannot use "${path}": no such directory`);
  }
}

class MemoryHandle implements FileHandle {
  readonly #files: MemoryFiles;
  readonly #path: string;
  readonly #file: MemoryFile;
  readonly #readOnly: boolean;
  readonly #life: number;
  #closed = false;

  constructor(files: MemoryFiles, path: string, file: MemoryFile, readOnly: boolean, life: number) {
    this.#files = files;
    this.#path = path;
    this.#file = file;
    this.#readOnly = readOnly;
    this.#life = life;
  }

  write(bytes: Uint8Array, position: number): void {
    this.#check(true);
    this.#files.counters.writes++;
    this.#files.fault("write", this.#path);
    const grown = Math.max(0, position + bytes.length - this.#file.current.size);
    const short = Math.max(0, grown - this.#files.bytesFree);
    const written = bytes.length - Math.min(short, bytes.length);
    this.#apply({ kind: "write", position, bytes: bytes.slice(0, written) });
    this.#files.bytesFree -= Math.max(0, grown - short);
    if (short > 0) throw new FilesError("noSpace", `Cannot write "${this.#path}": disk full`);
  }

  read(bytes: Uint8Array, position: number): number {
    this.#check(false);
    const part = this.#file.current.view().subarray(position, position + bytes.length);
    bytes.set(part);
    return part.length;
  }

  size(): number {
    this.#check(false);
    return this.#file.current.size;
  }

  truncate(size: number): void {
    this.#check(true);
    this.#apply({ kind: "truncate", size });
  }

  async sync(): Promise<void> {
    this.#check(false);
    this.#files.counters.syncs++;
    const newest = this.#file.unsynced.at(-1);
    await this.#files.delay(this.#path);
    this.#files.checkLife(this.#life, this.#path);
    // Not a count: an overlapping sync may have confirmed some of them meanwhile.
    this.#confirm(newest === undefined ? 0 : this.#file.unsynced.indexOf(newest) + 1);
  }

  syncNow(): void {
    this.#check(false);
    this.#files.counters.syncs++;
    this.#confirm(this.#file.unsynced.length);
  }

  close(): void {
    this.#closed = true;
  }

  // After a failed fsync the kernel marks the dirty pages clean: they are gone with the power, and
  // the next fsync knows nothing of them and succeeds.
  #confirm(count: number): void {
    const ops = this.#file.unsynced.splice(0, count);
    this.#files.fault("sync", this.#path);
    for (const op of ops) this.#file.durable.apply(op);
  }

  #apply(op: FileOp): void {
    this.#file.current.apply(op);
    this.#file.unsynced.push(op);
  }

  #check(writing: boolean): void {
    this.#files.checkLife(this.#life, this.#path);
    if (this.#closed || (writing && this.#readOnly)) {
      throw new FilesError("io", `Cannot use "${this.#path}": the handle is closed or read-only`);
    }
  }
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}
