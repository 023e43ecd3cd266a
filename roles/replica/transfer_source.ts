// A primary's side of copying: images for learners, and pieces of the private log. An image is a snapshot of
// the engine and the exactly-once window of the same moment, taken when no apply is in flight (§15.5).
// Invariant: the number of open snapshots is bounded; an image nobody asks for is given up, and so is one that was
// read to its end, or whose learner has begun anew, if another needs its place. A learner that finds its image gone
// starts another round. The other side is transfer_pull.ts.

import type { Clock } from "../../src/base/clock.ts";
import { Err } from "../../src/base/errors.ts";
import { formatPartition, type NodeId, type PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { IncomingCall } from "../../src/rpc/contract.ts";
import type { LearnFetch } from "../../src/schema/replica_rpc.ts";
import type { RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import { ImageExport } from "../../storage/image.ts";
import type { ReplicaDriver } from "./replica_driver.ts";

type Request = RequestOf<typeof LearnFetch>;
type Chunk = ResponseOf<typeof LearnFetch>;
type Call = IncomingCall<Chunk>;

/** Images one shard serves at the same time. */
const IMAGES_MAX = 5;
/** An image nobody has asked for so long is given up. */
const IMAGE_IDLE_MS = 60_000;
/** Mutations of one log chunk, bytes. */
const LOG_CHUNK_BYTES = 256 * 1024;

interface Image {
  readonly id: number;
  readonly partition: PartitionId;
  readonly learner: NodeId;
  readonly rows: ImageExport;
  usedAt: number;
  /** Its last chunk was sent: it is kept in case that was lost. */
  isRead: boolean;
}

/** See the file comment. One per shard. */
export class TransferSource {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #images = new Map<number, Image>();
  #lastId = 0;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Open images, for metrics and tests. */
  get size(): number {
    return this.#images.size;
  }

  /** Answers one LearnFetch. */
  fetch(driver: ReplicaDriver, request: Request, call: Call): void {
    const signature = driver.core.learnerSignature(request.from);
    if (signature === 0 || signature !== request.signature) return call.fail(Err.WRONG_SIGNATURE);
    if (request.source === "log") {
      this.#answer(this.#log(driver, request), call);
      return;
    }
    if (request.image !== 0) return this.#next(request, call);
    if (!this.#makePlace(driver.partition, request.from)) return call.fail(Err.BUSY);
    driver.whenQuiescent(() => this.#open(driver, request, call));
  }

  /** Gives up images nobody asks for. */
  expire(): void {
    const before = this.#clock.now().mono - IMAGE_IDLE_MS;
    for (const image of this.#images.values()) if (image.usedAt < before) this.#drop(image);
  }

  /** Gives up the images of one replica, before its engine goes; resolves when they are closed. */
  async forget(partition: PartitionId): Promise<void> {
    const mine = [...this.#images.values()].filter((image) => image.partition === partition);
    await Promise.all(mine.map((image) => this.#drop(image)));
  }

  /** @returns Whether there is room for one more image. */
  #makePlace(partition: PartitionId, learner: NodeId): boolean {
    const images = [...this.#images.values()];
    const former = images.find((one) => one.partition === partition && one.learner === learner);
    if (former !== undefined) this.#drop(former);
    if (this.#images.size < IMAGES_MAX) return true;
    // The oldest: whoever read it has most likely what it wanted.
    const [read] = images.filter(({ isRead }) => isRead).sort((a, b) => a.usedAt - b.usedAt);
    if (read !== undefined) this.#drop(read);
    return read !== undefined;
  }

  #open(driver: ReplicaDriver, request: Request, call: Call): void {
    const { engine, core, partition } = driver;
    if (engine === undefined || this.#images.size >= IMAGES_MAX) return call.fail(Err.BUSY);
    let rows: ImageExport;
    try {
      rows = new ImageExport(engine, core.sessionsImage);
    } catch (error) {
      return this.#onFailed(error, call);
    }
    const id = ++this.#lastId;
    const image: Image = { id, partition, learner: request.from, rows, usedAt: 0, isRead: false };
    if (rows.decree !== core.applied) {
      // Nothing may be learned from a replica whose engine stands elsewhere than its core believes.
      const name = formatPartition(partition);
      const details = { partition: name, engine: rows.decree, replica: core.applied };
      this.#logger.error("Engine and replica disagree about the applied decree", details);
      call.fail(Err.LEARN_SOURCE_LOST);
      this.#drop(image);
      return;
    }
    this.#images.set(image.id, image);
    this.#next({ ...request, image: image.id }, call);
  }

  #next(request: Request, call: Call): void {
    const image = this.#images.get(request.image);
    if (image === undefined || image.partition !== request.partition) {
      return call.fail(Err.LEARN_SOURCE_LOST);
    }
    image.usedAt = this.#clock.now().mono;
    this.#answer(this.#chunk(image, request.position), call);
  }

  async #chunk(image: Image, position: number): Promise<Chunk | undefined> {
    const { id, rows } = image;
    const chunk = await rows.chunk(position);
    if (chunk === undefined) return undefined;
    image.isRead ||= chunk.done;
    return { ...chunk, rows: [...chunk.rows], mutations: [], image: id, decree: rows.decree };
  }

  async #log(driver: ReplicaDriver, { position }: Request): Promise<Chunk | undefined> {
    const last = driver.core.committed;
    const mutations = position > last
      ? []
      : await driver.store.readMutations(position, last, LOG_CHUNK_BYTES);
    if (mutations === undefined) return undefined;
    const done = position + mutations.length > last;
    return { rows: [], mutations, image: 0, decree: last, done, checksum: 0 };
  }

  #answer(chunk: Promise<Chunk | undefined>, call: Call): void {
    chunk.then((ready) => {
      if (ready === undefined) call.fail(Err.LEARN_SOURCE_LOST);
      else call.reply(ready);
    }, (error) => this.#onFailed(error, call));
  }

  #onFailed(error: unknown, call: Call): void {
    this.#logger.warn("Cannot serve a learner", { error: String(error) });
    call.fail(Err.LEARN_SOURCE_LOST);
  }

  async #drop(image: Image): Promise<void> {
    this.#images.delete(image.id);
    try {
      await image.rows.close();
    } catch (error) {
      this.#logger.warn("Cannot close an image", { error: String(error) });
    }
  }
}
