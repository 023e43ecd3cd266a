// Moves of replicas between the data directories of their server. A member is never closed for it: the move begins
// when the replica has left the group, which an operator asks of its primary, and while it is away the group is
// one short, as after any removal. The copy then learns what it missed. docs/operations.md, "Disks".

import type { Clock } from "../../src/base/clock.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { formatPartition, parsePartition, type PartitionId } from "../../src/base/ids.ts";
import type { PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { ReplicaDriver } from "./replica_driver.ts";
import type { ReplicaShelf } from "./replica_shelf.ts";

/** A replica that has not left its group by then stays where it is, ms. */
const WAIT_MS = 60_000;

/** See the file comment. */
export class DiskMoves {
  readonly #shelf: ReplicaShelf;
  readonly #clock: Clock;
  /** Where replicas shall go that are still members, and until when that counts, monotonic ms. */
  readonly #waiting = new Map<PartitionId, { readonly tag: string; readonly until: number }>();

  constructor(shelf: ReplicaShelf, clock: Clock) {
    this.#shelf = shelf;
    this.#clock = clock;
    shelf.intercepts = (driver, message) => this.#takes(driver, message);
  }

  /**
   * Takes "1.3 tag". @returns What happens now, for people; it begins with "waits" if the replica must leave its
   * group first.
   *
   * @throws {StoreError} INVALID_ARGUMENT, OBJECT_NOT_FOUND, INVALID_STATE
   */
  start(words: readonly string[]): string {
    const partition = parsePartition(words[0] ?? "");
    const tag = words[1] ?? "";
    if (partition === undefined || words.length !== 2) {
      throw new StoreError(
        Err.INVALID_ARGUMENT,
        "Expected a partition and a disk, as in 1.3 data2",
      );
    }
    const name = formatPartition(partition);
    const { stores } = this.#shelf;
    const from = stores.locate(partition);
    if (from === "") {
      throw new StoreError(Err.OBJECT_NOT_FOUND, `There is no replica of ${name} here`);
    }
    if (from === tag) return `${name} is on ${tag}`;
    const refusal = stores.refusal(partition, tag);
    if (refusal !== undefined) throw new StoreError(Err.INVALID_STATE, refusal);
    if (this.#shelf.drivers.get(partition)?.core.status === "primary") {
      throw new StoreError(
        Err.INVALID_STATE,
        `${name} is primary here; pass the leadership on first`,
      );
    }
    if (this.#hasLeft(partition) && this.#shelf.move(partition, tag)) {
      return `${name} moves to ${tag}`;
    }
    this.#waiting.set(partition, { tag, until: this.#clock.now().mono + WAIT_MS });
    return `waits until ${name} has left its group, then moves it to ${tag}`;
  }

  /** Begins the moves of replicas that have heard that they are no members any more. */
  tick(): void {
    if (this.#waiting.size === 0) return;
    const now = this.#clock.now().mono;
    for (const [partition, { tag, until }] of this.#waiting) {
      if (now < until && !(this.#hasLeft(partition) && this.#shelf.move(partition, tag))) continue;
      this.#waiting.delete(partition);
    }
  }

  /** One that waits for meta's word is what it was until it has heard it. */
  #hasLeft(partition: PartitionId): boolean {
    const core = this.#shelf.drivers.get(partition)?.core;
    return core === undefined || (core.status === "inactive" && core.transient !== true);
  }

  /** A primary that takes the replica for a learner has removed it: it moves before it learns. */
  #takes({ partition, core }: ReplicaDriver, { kind, body }: PeerMessage): boolean {
    const wanted = this.#waiting.get(partition);
    if (wanted === undefined || kind !== "groupCheck" || body.role !== "learner") return false;
    // A prepare may have brought the new ballot before; a member of a ballot never hears that it is a learner of it.
    const isNews = body.ballot > core.ballot ||
      (body.ballot === core.ballot && core.status === "secondary");
    if (!isNews || !this.#shelf.move(partition, wanted.tag)) return false;
    this.#waiting.delete(partition);
    return true;
  }
}
