// Whether the disks of a shard have room for writes. A server stops taking writes while there is still room for
// what is in flight and for what makes room: flushes, manifests, compactions. Invariants: a disk that refused a
// write counts as full until it has taken none for a while; between full and not full lies a gap, so that a
// disk at the bound does not flap. docs/storage_layout.md, "Full disks".

import type { Clock } from "../../src/base/clock.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { ReplicaEvent } from "../../src/replication/io.ts";
import type { DataDir } from "../../storage/data_dir.ts";
import { deviceOf, type DiskSpace, diskSpaceOf } from "./disk_space.ts";

/** What a room is made from. */
export interface DiskRoomOptions {
  readonly dataDirs: readonly DataDir[];
  /** Where the shared logs are. */
  readonly logDir: string;
  /** A disk with less free space is full; never more than a twentieth of the disk. */
  readonly stopBytes: number;
  readonly clock: Clock;
  /** Looks at the disk of a path. @default The disk of this machine */
  readonly space?: (path: string) => DiskSpace;
  /** What paths on one disk have in common: it is looked at once. @default The device, as this machine says */
  readonly device?: (path: string) => number | string;
}

/** Distance of two looks, ms; a look takes 3 us per disk, and 80 in a process that is idle otherwise. */
const LOOK_MS = 500;
/** A disk that refused a write is full for so long, whatever it says of itself, ms. */
const REFUSED_MS = 1000;
/** More than the bound must be free before writes go on, and so much at least (or a twentieth of the disk). */
const RESUME = 1.25;
const RESUME_BYTES_MIN = 16 * 1024 * 1024;

interface Place {
  readonly path: string;
  /** The same for all on one disk. */
  readonly device: number | string;
  full: boolean;
  /** Monotonic ms. */
  refusedAt: number;
}

/** See the file comment. */
export class DiskRoom {
  readonly #options: DiskRoomOptions;
  readonly #space: (path: string) => DiskSpace;
  readonly #dirs: ReadonlyMap<string, Place>;
  readonly #log: Place;
  #lookedAt = -Infinity;
  #isNews = false;

  constructor(options: DiskRoomOptions) {
    this.#options = options;
    this.#space = options.space ?? diskSpaceOf;
    const deviceAt = options.device ?? deviceOf;
    const place = (path: string): Place => {
      return { path, device: deviceAt(path), full: false, refusedAt: -Infinity };
    };
    this.#dirs = new Map(options.dataDirs.map(({ tag, path }) => [tag, place(path)]));
    this.#log = place(options.logDir);
  }

  /** Whether a replica in this directory can take no writes: its own disk is full, or that of the log. */
  isFull(tag: string): boolean {
    return this.#log.full || this.#dirs.get(tag)?.full === true;
  }

  /** Paths whose disks are full. */
  get fullPaths(): string[] {
    const full = [...this.#dirs.values(), this.#log].filter((place) => place.full);
    return [...new Set(full.map(({ path }) => path))];
  }

  /** The room of whoever writes below a data directory. */
  of(path: string): { readonly isFull: boolean; refused(): void } {
    const [tag] = [...this.#dirs].find(([, place]) => path.startsWith(`${place.path}/`)) ?? [""];
    const isFull = () => this.isFull(tag);
    return {
      get isFull() {
        return isFull();
      },
      refused: () => this.refused(tag),
    };
  }

  /** The disk of a directory refused a write for want of space. @param tag "" = that of the shared log. */
  refused(tag: string): void {
    const place = tag === "" ? this.#log : this.#dirs.get(tag);
    if (place === undefined) return;
    place.refusedAt = this.#options.clock.now().mono;
    this.#set(place, true);
  }

  /** Looks at the disks, now and then. @returns Whether something has changed since it was last asked. */
  look(): boolean {
    const now = this.#options.clock.now().mono;
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      const seen = new Map<Place["device"], DiskSpace>();
      for (const place of [...this.#dirs.values(), this.#log]) this.#look(place, now, seen);
    }
    const isNews = this.#isNews;
    this.#isNews = false;
    return isNews;
  }

  #look(place: Place, now: number, seen: Map<Place["device"], DiskSpace>): void {
    if (now - place.refusedAt < REFUSED_MS) return;
    const space = seen.get(place.device) ?? this.#space(place.path);
    seen.set(place.device, space);
    const { totalBytes, freeBytes } = space;
    // Nothing is known: a write will tell.
    if (totalBytes === 0) return this.#set(place, false);
    const bound = Math.min(this.#options.stopBytes, totalBytes / 20);
    const resume = Math.max(bound * RESUME, Math.min(RESUME_BYTES_MIN, totalBytes / 20));
    this.#set(place, freeBytes < (place.full ? resume : bound));
  }

  #set(place: Place, full: boolean): void {
    if (place.full === full) return;
    place.full = full;
    this.#isNews = true;
  }
}

/** Tells the replicas of a shard how their disks stand. */
export class RoomTeller {
  readonly #room: DiskRoom | undefined;
  readonly #host: RoomHost;

  /** @param room Absent: there is always room. */
  constructor(room: DiskRoom | undefined, host: RoomHost) {
    this.#room = room;
    this.#host = host;
  }

  /** Disks without room. */
  get fullCount(): number {
    return this.#room?.fullPaths.length ?? 0;
  }

  isFull(partition: PartitionId): boolean {
    return this.#room?.isFull(this.#host.locate(partition)) === true;
  }

  /** The disk of a replica refused something; that of the shared log, if no replica is given. */
  refused(partition?: PartitionId): void {
    this.#room?.refused(partition === undefined ? "" : this.#host.locate(partition));
    this.tick();
  }

  /** A replica is there that knows nothing yet. */
  opened(driver: RoomListener): void {
    if (this.isFull(driver.partition)) driver.deliver({ kind: "disk", full: true });
  }

  tick(): void {
    if (this.#room?.look() !== true) return;
    const paths = this.#room.fullPaths.join(", ");
    if (paths === "") this.#host.logger.info("Disks have room again: writes go on");
    else this.#host.logger.error("Disk full: writes are refused until there is room", { paths });
    for (const driver of this.#host.drivers.values()) {
      driver.deliver({ kind: "disk", full: this.isFull(driver.partition) });
    }
  }
}

interface RoomListener {
  readonly partition: PartitionId;
  deliver(event: ReplicaEvent): void;
}

/** What a teller needs of its shard. */
export interface RoomHost {
  readonly drivers: ReadonlyMap<PartitionId, RoomListener>;
  readonly logger: Logger;
  /** Tag of the directory a replica is in. */
  readonly locate: (partition: PartitionId) => string;
}
