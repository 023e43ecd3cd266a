// The replicas of one shard through their lives: being opened, open, being closed, stored but closed.
// Invariants: a partition is in exactly one of these states; nothing is opened while its predecessor still
// closes; what is stored is reported to meta in every state, for it may be the last copy.

import { isNoSpace } from "../../src/base/files.ts";
import { formatPartition, type NodeId, type PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { ReplicaEvent } from "../../src/replication/io.ts";
import { withoutMember } from "../../src/replication/config_steps.ts";
import type { PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { PartitionConfig, ReplicaReport, TableInfo } from "../../src/schema/types.ts";
import { isEngineFull } from "../../storage/engine.ts";
import type { Fate } from "./driver_host.ts";
import type { ReplicaDriver } from "./replica_driver.ts";
import type { OpenedReplica, ReplicaStores } from "./replica_store.ts";
import { newestTables } from "./shard_tables.ts";

/** What the shelf needs of its shard. */
export interface ShelfOptions {
  readonly stores: ReplicaStores;
  readonly logger: Logger;
  /** Builds the driver of an opened replica. */
  readonly build: (opened: OpenedReplica) => ReplicaDriver;
  /** Called when it is in its place, before it hears anything else. */
  readonly opened: (driver: ReplicaDriver) => void;
  /** The set of stored replicas changed: meta should know. */
  readonly onChange: () => void;
  /** Something in a data directory failed: is it still good? */
  readonly onTrouble?: (tag: string) => void;
  /** Resolves after `ms`. */
  readonly pause: (ms: number) => Promise<void>;
}

function nameOf(partition: PartitionId): { readonly partition: string } {
  return { partition: formatPartition(partition) };
}

type ClosedReport = Omit<ReplicaReport, "disk">;

/** Pause before a replica is opened or closed again for which the disk had no room, ms. */
const ROOM_MS = 1000;

/** Events kept for a replica that is being opened; all of them are repeated by their senders anyway. */
const OPENING_EVENTS_MAX = 16;

/** See the file comment. */
export class ReplicaShelf {
  readonly #options: ShelfOptions;
  readonly #open = new Map<PartitionId, ReplicaDriver>();
  /** What replicas that are being opened shall hear first, and when each is open, or is not. */
  readonly #opening = new Map<PartitionId, { events: ReplicaEvent[]; done: Promise<void> }>();
  readonly #closing = new Map<PartitionId, Promise<void>>();
  /** Also those whose disk has no room for the end of their log, while they are closing. */
  readonly #closed = new Map<PartitionId, ClosedReport>();
  /** Tables of closed replicas. */
  readonly #closedTables = new Map<PartitionId, TableInfo>();
  /** Damaged and not moved aside, or with a log that has no room for its end: a restart needs the shared log for them. */
  readonly #stuck = new Set<PartitionId>();
  /** Left their place in this life with a history: stored, set aside, or lost with a disk. */
  readonly #begun = new Set<PartitionId>();
  #stopping = false;
  /** Why something could not be closed as a whole at the end. */
  #unsaved: unknown;
  /** Whether a message comes too late for a replica, which leaves its place because of it (disk_moves.ts). */
  intercepts: (driver: ReplicaDriver, message: PeerMessage) => boolean = () => false;

  constructor(options: ShelfOptions) {
    this.#options = options;
  }

  get stores(): ReplicaStores {
    return this.#options.stores;
  }

  /** Open replicas by partition. */
  get drivers(): ReadonlyMap<PartitionId, ReplicaDriver> {
    return this.#open;
  }

  /** Puts an opened replica in its place. */
  add(opened: OpenedReplica): ReplicaDriver {
    const driver = this.#options.build(opened);
    this.#open.set(driver.partition, driver);
    this.#closed.delete(driver.partition);
    this.#options.opened(driver);
    return driver;
  }

  /** Puts a replica in its place that was found at the start and could not be opened for want of space. */
  addFull(report: ClosedReport, table: TableInfo): void {
    const { partition, ballot } = report;
    this.#closed.set(partition, report);
    this.#closedTables.set(partition, table);
    this.#stuck.add(partition);
    if (ballot > 0) this.#begun.add(partition);
    this.#reopen(partition);
  }

  /** Whether anything of the partition is stored here, in whatever state. */
  holds(partition: PartitionId): boolean {
    return this.#open.has(partition) || this.isClosed(partition) ||
      this.#opening.has(partition) || this.#closing.has(partition);
  }

  /**
   * The removal of this server to ask for if a configuration counts on a replica that is missing here, or closed:
   * nobody else may notice while there are no writes, and as long as it is listed the group is one short.
   */
  leaving(config: PartitionConfig, node: NodeId) {
    const { partition, primary, secondaries } = config;
    const isMember = primary === node || secondaries.includes(node);
    if (!isMember || (this.holds(partition) && !this.isClosed(partition))) return undefined;
    const next = withoutMember(config, node);
    return { partition, attempt: 0, change: "DOWNGRADE_TO_INACTIVE", node, config: next } as const;
  }

  /** Whether a replica with a history was here in this life, whatever became of it. */
  hadHistory(partition: PartitionId): boolean {
    return this.#begun.has(partition);
  }

  /** Whether the replica is stored but not open. */
  isClosed(partition: PartitionId): boolean {
    return this.#closed.has(partition);
  }

  /** Opens the stored replica, or creates an empty one; then hands it the event. */
  open(partition: PartitionId, table: TableInfo | undefined, event: ReplicaEvent): void {
    // What is still being closed is asked for again soon.
    if (this.#stopping || this.#closing.has(partition)) return;
    const waiting = this.#opening.get(partition);
    if (waiting !== undefined) {
      if (waiting.events.length < OPENING_EVENTS_MAX) waiting.events.push(event);
      return;
    }
    const { stores, logger } = this.#options;
    const known = this.#closed.has(partition);
    const opened = known ? stores.reopen(partition) : stores.create(partition, table);
    const done = opened.then((replica) => this.#onOpened(partition, replica), (error) => {
      this.#opening.delete(partition);
      const name = formatPartition(partition);
      logger.error("Cannot open a replica", { partition: name, error: String(error) });
      // For want of space nothing is wrong with the disk. The replica's group counts on it, and meta sees that it
      // is stored: nobody else will ask.
      if (!isEngineFull(error) && !isNoSpace(error)) this.#suspect(stores.locate(partition));
      else if (known) this.#options.pause(ROOM_MS).then(() => this.#reopen(partition));
    });
    this.#opening.set(partition, { events: [event], done });
  }

  /** Takes a replica out of service and closes it. */
  close(driver: ReplicaDriver, reason: string, fate: Fate): void {
    const { partition } = driver;
    const { stores, logger, onChange } = this.#options;
    this.#open.delete(partition);
    const details = { partition: formatPartition(partition), reason };
    if (fate === "damaged") logger.error("Replica is damaged and closed", details);
    else logger.info("Replica closed", details);
    const report: ClosedReport = { ...driver.core.report(), status: "inactive", bytes: 0 };
    if (report.ballot > 0) this.#begun.add(partition);
    const disk = stores.locate(partition);
    const closing = this.#shut(driver, report, fate === "damaged").then(async (end) => {
      if (end === "unsaved") return;
      if (end === "closed" && fate !== "damaged") return this.#keep(driver, report);
      this.#suspect(disk);
      await this.#moveAside(partition);
    }).finally(() => {
      this.#closing.delete(partition);
      if (fate === "reopen") this.#reopen(partition);
      onChange();
    });
    this.#closing.set(partition, closing);
  }

  /**
   * Stops a replica and closes its store. If its disk has no room for the end of its log, that is tried again until
   * there is: the replica is reported as closed meanwhile, and the shared log keeps what is missing.
   *
   * @param isLost It is damaged anyway: nothing is tried twice.
   * @returns "damaged": its log lacks what the shared log is about to forget; "unsaved": the server ends, and the
   * next start needs the shared log for it.
   */
  async #shut(
    driver: ReplicaDriver,
    report: ClosedReport,
    isLost = false,
  ): Promise<"closed" | "damaged" | "unsaved"> {
    const { partition } = driver;
    const { logger, onChange, pause } = this.#options;
    for (let isFirst = true;; isFirst = false) {
      try {
        // The first time before anybody else gets a turn.
        await driver.stop();
        return "closed";
      } catch (error) {
        const details = { ...nameOf(partition), error: String(error) };
        if (isFirst) logger.error("Cannot close a replica", details);
        if (isLost || !isNoSpace(error)) {
          this.#closed.delete(partition);
          return "damaged";
        }
        if (this.#stopping) {
          this.#unsaved ??= error;
          this.#stuck.add(partition);
          return "unsaved";
        }
        this.#keep(driver, report);
        if (isFirst) onChange();
        await pause(ROOM_MS);
      }
    }
  }

  /** The replica is stored, unless its directory was given up. */
  #keep({ partition, store }: ReplicaDriver, report: ClosedReport): void {
    if (this.#options.stores.locate(partition) === "") return;
    this.#closed.set(partition, report);
    this.#closedTables.set(partition, store.table);
  }

  /** Opens a replica again that is still stored and closed; on a disk that is full again, when it is not. */
  #reopen(partition: PartitionId): void {
    if (this.#closed.has(partition)) this.open(partition, undefined, { kind: "tick" });
  }

  /** Moves what is left of a damaged replica out of the way. */
  async #moveAside(partition: PartitionId): Promise<void> {
    const { stores, logger } = this.#options;
    this.#stuck.add(partition);
    try {
      await stores.moveAside(partition, "err");
      this.#stuck.delete(partition);
    } catch (error) {
      const details = { partition: formatPartition(partition), error: String(error) };
      logger.error("Cannot move a replica aside", details);
    }
  }

  #suspect(disk: string): void {
    if (disk !== "") this.#options.onTrouble?.(disk);
  }

  /**
   * Goes on without a data directory that failed. That it did is on stable storage elsewhere, so a restart will
   * not use what is in it.
   */
  loseDisk(tag: string): void {
    const { stores, logger, onChange } = this.#options;
    for (const partition of stores.drop(tag)) {
      this.#stuck.delete(partition);
      this.#closed.delete(partition);
      const driver = this.#open.get(partition);
      if (driver === undefined) logger.error("Replica lost", { ...nameOf(partition), disk: tag });
      else driver.finish(`Data directory ${tag} failed`, "damaged");
    }
    onChange();
  }

  /**
   * Closes a replica that is no member and moves it to another data directory.
   *
   * @returns False if that is not possible now.
   */
  move(partition: PartitionId, tag: string): boolean {
    const driver = this.#open.get(partition);
    const closed = this.#closed.get(partition);
    if (this.#closing.has(partition) || this.#stuck.has(partition)) return false;
    if (driver === undefined && closed === undefined) {
      return false;
    }
    const report = closed ?? { ...driver!.core.report(), status: "inactive", bytes: 0 };
    if (report.ballot > 0) this.#begun.add(partition);
    this.#open.delete(partition);
    this.#closed.delete(partition);
    const moving = this.#move(partition, tag, report, driver).then(() => {
      // Moved or not: whatever is located is whole.
      const isStored = this.#options.stores.locate(partition) !== "";
      if (isStored && !this.#stuck.has(partition)) this.#closed.set(partition, report);
    }).finally(() => {
      this.#closing.delete(partition);
      this.#options.onChange();
    });
    this.#closing.set(partition, moving);
    return true;
  }

  async #move(
    partition: PartitionId,
    tag: string,
    report: ClosedReport,
    driver: ReplicaDriver | undefined,
  ): Promise<void> {
    const { stores, logger } = this.#options;
    const details = { ...nameOf(partition), from: stores.locate(partition), to: tag };
    const end = driver === undefined ? "closed" : await this.#shut(driver, report);
    if (end === "damaged") return await this.#moveAside(partition);
    if (end === "unsaved") return;
    try {
      const { bytes, leftover } = await stores.move(partition, tag);
      logger.info("Replica moved to another disk", { ...details, bytes });
      if (leftover !== undefined) {
        logger.warn("Cannot remove what was moved", { ...details, leftover });
      }
    } catch (error) {
      logger.error("Cannot move a replica to another disk", { ...details, error: String(error) });
      this.#suspect(details.from);
      this.#suspect(tag);
    }
  }

  /** Meta has no use for the replica: an inactive one is closed, a closed one set aside the next time. */
  discard(partition: PartitionId): void {
    const driver = this.#open.get(partition);
    if (driver !== undefined) {
      if (driver.core.status === "inactive") driver.finish("Meta has no use for it", "stays");
      return;
    }
    if (this.#opening.has(partition) || this.#closing.has(partition)) return;
    if (!this.#closed.delete(partition)) return;
    const { stores, logger } = this.#options;
    const details = { partition: formatPartition(partition) };
    const moving = stores.moveAside(partition, "gar").then(
      () => {
        this.#stuck.delete(partition);
        logger.info("Replica set aside as garbage", details);
      },
      (error) => logger.error("Cannot set a replica aside", { ...details, error: String(error) }),
    ).finally(() => this.#closing.delete(partition));
    this.#closing.set(partition, moving);
  }

  /** Reports of everything stored. */
  reports(): ReplicaReport[] {
    const { stores } = this.#options;
    const reports: ReplicaReport[] = [];
    for (const closed of this.#closed.values()) {
      reports.push({ ...closed, disk: stores.locate(closed.partition) });
    }
    for (const { core, bytes, partition } of this.#open.values()) {
      reports.push({ ...core.report(), bytes, disk: stores.locate(partition) });
    }
    return reports;
  }

  /** The newest description of each table that something is stored of. */
  tables(): TableInfo[] {
    const open = [...this.#open.values()].map(({ store }) => store.table);
    const closed = [...this.#closed.keys()].map((partition) => this.#closedTables.get(partition));
    return newestTables([...open, ...closed.filter((table) => table !== undefined)]);
  }

  /** Highest sequence of a generation for which the shared log is not needed any more. */
  covered(partition: PartitionId, generation: number): number {
    const driver = this.#open.get(partition);
    if (driver !== undefined) return driver.store.covered(generation);
    // Cleanly closed, moved aside or never here: nothing is needed. On its way: everything is.
    const isNeeded = this.#opening.has(partition) || this.#closing.has(partition) ||
      this.#stuck.has(partition);
    return isNeeded ? 0 : Infinity;
  }

  /**
   * Closes everything; settles when the last engine is closed.
   *
   * @throws If something could not be closed as a whole: the next start needs the shared log.
   */
  async closeAll(): Promise<void> {
    this.#stopping = true;
    const stops = [...this.#open.values()].map((driver) => driver.stop());
    this.#open.clear();
    await Promise.allSettled(stops);
    while (this.#opening.size > 0 || this.#closing.size > 0) {
      const openings = [...this.#opening.values()].map(({ done }) => done);
      await Promise.all([...openings, ...this.#closing.values()]);
    }
    await Promise.all(stops);
    if (this.#unsaved !== undefined) throw this.#unsaved;
    const stuck = [...this.#stuck].map(formatPartition).join(", ");
    if (stuck !== "") throw new Error(`The next start needs the shared log for ${stuck}`);
  }

  #onOpened(partition: PartitionId, opened: OpenedReplica | undefined): void {
    const { events = [] } = this.#opening.get(partition) ?? {};
    this.#opening.delete(partition);
    this.#closed.delete(partition);
    this.#stuck.delete(partition);
    if (opened === undefined) return this.#options.onChange();
    if (this.#stopping || this.#options.stores.locate(partition) === "") {
      // Too late, or its directory failed meanwhile.
      const closing = opened.store.close().catch((error) => {
        this.#unsaved ??= error;
      }).finally(() => this.#closing.delete(partition));
      this.#closing.set(partition, closing);
      return;
    }
    const driver = this.add(opened);
    for (const event of events) driver.deliver(event);
    this.#options.onChange();
  }
}
