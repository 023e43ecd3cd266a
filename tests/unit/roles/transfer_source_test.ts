// The images a server gives to learners: their number is bounded, and places come free.

import assert from "node:assert/strict";
import type { ReplicaDriver } from "../../../roles/replica/replica_driver.ts";
import { TransferSource } from "../../../roles/replica/transfer_source.ts";
import { Err } from "../../../src/base/errors.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { IncomingCall } from "../../../src/rpc/contract.ts";
import type { LearnFetch } from "../../../src/schema/replica_rpc.ts";
import type { ResponseOf } from "../../../src/schema/rpc.ts";
import { engineOf } from "./reads_fixture.ts";

type Chunk = ResponseOf<typeof LearnFetch>;

const PLACES = 5;

/** A source of any number of partitions, each with more than one chunk of rows. */
class Story {
  mono = 1000;
  readonly source = new TransferSource({ now: () => ({ mono: this.mono, wall: 0 }) }, SILENT);

  /** Asks for a chunk. @returns It, or an error code. */
  ask(partition: number, learner: string, position = 0, image = 0): Promise<Chunk | number> {
    const engine = engineOf(
      ...Array.from({ length: 3 }, (_, i) => `h/${i}=${"x".repeat(900_000)}`),
    );
    const driver = {
      partition,
      engine,
      core: { learnerSignature: () => 7, applied: 7, sessionsImage: new Uint8Array(0) },
      whenQuiescent: (take: () => void) => take(),
    } as unknown as ReplicaDriver;
    const head = { partition, from: learner, signature: 7, source: "image" as const };
    return new Promise((resolve) => {
      const call = { reply: resolve, fail: resolve } as unknown as IncomingCall<Chunk>;
      this.source.fetch(driver, { ...head, position, image }, call);
    });
  }

  /** Asks for the first chunk, which must come. */
  async open(partition: number, learner: string): Promise<Chunk> {
    const chunk = await this.ask(partition, learner);
    assert(typeof chunk !== "number", `Error ${chunk}`);
    assert.equal(chunk.done, false);
    return chunk;
  }

  /** Copies a whole image. */
  async copy(partition: number, learner: string): Promise<void> {
    let chunk = await this.open(partition, learner);
    for (let position = 1; !chunk.done; position++) {
      const next = await this.ask(partition, learner, position, chunk.image);
      assert(typeof next !== "number", `Error ${next}`);
      chunk = next;
    }
  }
}

Deno.test("TransferSource gives images to any number of learners, one after the other", async () => {
  const story = new Story();
  for (let partition = 1; partition <= 4 * PLACES; partition++) {
    await story.copy(partition, "r1");
    assert(story.source.size <= PLACES);
  }
});

Deno.test("TransferSource gives so many at a time, and gives up those nobody asks for", async () => {
  const story = new Story();
  for (let partition = 1; partition <= PLACES; partition++) await story.open(partition, "r1");
  assert.equal(await story.ask(PLACES + 1, "r1"), Err.BUSY);
  story.mono += 61_000;
  story.source.expire();
  await story.open(PLACES + 1, "r1");
  assert.equal(story.source.size, 1);
});

Deno.test("TransferSource ends the image of a learner that begins anew", async () => {
  const story = new Story();
  const first = await story.open(1, "r1");
  for (let i = 0; i < 2 * PLACES; i++) await story.open(1, "r1");
  assert.equal(story.source.size, 1);
  assert.equal(await story.ask(1, "r1", 1, first.image), Err.LEARN_SOURCE_LOST);
  await story.open(1, "r2");
  assert.equal(story.source.size, 2, "another learner has its own");
});

Deno.test("TransferSource sends the last chunk again as long as nobody needs its place", async () => {
  const story = new Story();
  let chunk = await story.open(1, "r1");
  let position = 0;
  while (!chunk.done) chunk = await story.ask(1, "r1", ++position, chunk.image) as Chunk;
  assert.deepEqual(await story.ask(1, "r1", position, chunk.image), chunk);
  for (let partition = 2; partition <= PLACES + 1; partition++) await story.open(partition, "r1");
  assert.equal(await story.ask(1, "r1", position, chunk.image), Err.LEARN_SOURCE_LOST);
});
