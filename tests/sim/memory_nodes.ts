// Files and directories of the forgetful disk (memory_files.ts) as data: what is durable, what is not yet, and
// what a power loss leaves of the latter.

import type { Prng } from "../../src/base/prng.ts";

const SECTOR_BYTES = 512;

/** A change of a file that a power loss may undo. */
export type FileOp =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly size: number };

/** An entry of a directory. */
export type MemoryNode = MemoryFile | MemoryDir;

interface EntryChange {
  readonly name: string;
  readonly node: MemoryNode | undefined;
}

/** Growable bytes. */
class Content {
  #bytes = new Uint8Array(0);
  size = 0;

  apply(op: FileOp): void {
    if (op.kind === "truncate") return this.resize(op.size);
    const end = op.position + op.bytes.length;
    if (end > this.size) this.resize(end);
    this.#bytes.set(op.bytes, op.position);
  }

  resize(size: number): void {
    if (size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(size, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.size));
      this.#bytes = larger;
    }
    if (size < this.size) this.#bytes.fill(0, size, this.size);
    this.size = size;
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.size);
  }

  copyFrom(other: Content): void {
    this.#bytes = other.view().slice();
    this.size = other.size;
  }
}

/** A file: what is read, what is durable, and the changes in between. */
export class MemoryFile {
  readonly current = new Content();
  readonly durable = new Content();
  unsynced: FileOp[] = [];
}

/** A directory: its entries, the durable ones, and the changes in between. */
export class MemoryDir {
  current = new Map<string, MemoryNode>();
  durable = new Map<string, MemoryNode>();
  unsynced: EntryChange[][] = [];

  change(...changes: EntryChange[]): void {
    for (const { name, node } of changes) setEntry(this.current, name, node);
    this.unsynced.push(changes);
  }

  commit(count: number): void {
    for (const changes of this.unsynced.splice(0, count)) {
      for (const { name, node } of changes) setEntry(this.durable, name, node);
    }
  }
}

function setEntry(map: Map<string, MemoryNode>, name: string, node: MemoryNode | undefined): void {
  if (node === undefined) map.delete(name);
  else map.set(name, node);
}

/** Files below a directory, with their paths. */
export function filesBelow(dir: MemoryDir, path: string): [path: string, file: MemoryFile][] {
  return [...dir.current].flatMap(([name, node]): [string, MemoryFile][] =>
    node instanceof MemoryDir ? filesBelow(node, `${path}/${name}`) : [[`${path}/${name}`, node]]
  );
}

/** Power loss: of everything unsynced below a directory only what chance leaves stays. */
export function loseEntries(dir: MemoryDir, prng: Prng, seen: Set<MemoryNode>): void {
  dir.commit(prng.below(dir.unsynced.length + 1));
  dir.unsynced = [];
  dir.current = new Map(dir.durable);
  for (const node of dir.current.values()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (node instanceof MemoryDir) loseEntries(node, prng, seen);
    else loseBytes(node, prng);
  }
}

/**
 * Keeps a prefix or a random subset of the unsynced operations; the last one kept may be torn, or
 * only zeros.
 */
function loseBytes(file: MemoryFile, prng: Prng): void {
  const subset = prng.chance(0.5);
  const prefix = prng.below(file.unsynced.length + 1);
  const kept = file.unsynced.filter((_, i) => subset ? prng.chance(0.5) : i < prefix);
  kept.forEach((op, i) => {
    const last = i === kept.length - 1;
    file.durable.apply(last && op.kind === "write" && prng.chance(0.6) ? torn(op, prng) : op);
  });
  file.unsynced = [];
  file.current.copyFrom(file.durable);
}

function torn(op: FileOp & { kind: "write" }, prng: Prng): FileOp {
  const end = op.position + op.bytes.length;
  const sectors = Math.ceil(end / SECTOR_BYTES) - Math.floor(op.position / SECTOR_BYTES);
  const first = Math.floor(op.position / SECTOR_BYTES);
  const cut = Math.max(0, (first + prng.below(sectors + 1)) * SECTOR_BYTES - op.position);
  if (prng.chance(0.5)) return { ...op, bytes: op.bytes.slice(0, cut) };
  // The length reached the disk, the data behind the cut did not.
  const zeroed = op.bytes.slice();
  zeroed.fill(0, Math.min(cut, zeroed.length));
  return { ...op, bytes: zeroed };
}
