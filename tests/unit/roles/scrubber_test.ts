// The search for damage, over real LevelDB tables and a clock that moves by hand.

import assert from "node:assert/strict";
import { NO_SCRUB, Scrubber } from "../../../roles/replica/scrubber.ts";
import type { ReplicaDriver } from "../../../roles/replica/replica_driver.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { ReplicaEvent } from "../../../src/replication/io.ts";
import { Err } from "../../../src/base/errors.ts";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Get, Put } from "../../../src/schema/client_rpc.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import type { Engine } from "../../../storage/engine.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { waitFor } from "../../../roles/onebox/processes.ts";
import { LeadShard, WRITE_HEAD } from "./shard_fixture.ts";

const RATE = 1_000_000;

/** An engine with several tables of rows that do not compress. */
async function makeEngine(dir: string): Promise<Engine> {
  const engine = await openLevelEngine(dir);
  for (let batch = 0; batch < 4; batch++) {
    const rows = Array.from({ length: 400 }, (_, i) => ({
      type: "put" as const,
      key: utf8(`key ${batch} ${i}`),
      value: crypto.getRandomValues(new Uint8Array(1000)),
    }));
    await engine.write(rows);
    await engine.flush();
  }
  return engine;
}

/** A scrubber over replicas of which it sees no more than this. */
class Story {
  readonly events: ReplicaEvent[] = [];
  readonly drivers = new Map<number, ReplicaDriver>();
  readonly scrubber: Scrubber;
  #mono = 0;

  constructor(settings = { bytesPerSecond: RATE, intervalMs: 3_600_000 }) {
    this.scrubber = new Scrubber({
      ...settings,
      clock: { now: () => ({ mono: this.#mono, wall: 0 }) },
      logger: SILENT,
      drivers: this.drivers,
      chance: 7,
    });
  }

  /** Why the first replica was said to be damaged. */
  get reason(): string {
    const event = this.events.at(0);
    assert(event?.kind === "damaged");
    return event.reason;
  }

  add(partition: number, engine: Engine, status = "secondary"): void {
    const deliver = (event: ReplicaEvent) => {
      this.events.push(event);
      this.drivers.delete(partition);
    };
    const driver = { partition, engine, core: { status }, deliver };
    this.drivers.set(partition, driver as unknown as ReplicaDriver);
  }

  /** Time passes, and whatever can happen meanwhile has happened. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 50) {
      this.#mono += 50;
      this.scrubber.tick();
      const { bytes } = this.scrubber.counters;
      // Reads are real: each gets a moment.
      await waitFor(() => this.scrubber.counters.bytes > bytes, 4, 1);
    }
  }

  async until(done: () => boolean): Promise<void> {
    const end = Date.now() + 20_000;
    while (!done()) {
      assert(Date.now() < end, "It never happens");
      await this.pass(50);
    }
  }
}

function bytesOf(engine: Engine): number {
  return engine.tableFiles!().reduce((sum, path) => sum + Deno.statSync(path).size, 0);
}

Deno.test("Scrubber reads every table of members, at its rate, once per interval", async () => {
  const dir = Deno.makeTempDirSync();
  const [member, stored] = [await makeEngine(`${dir}/a`), await makeEngine(`${dir}/b`)];
  const story = new Story();
  story.add(1, member);
  story.add(2, stored, "inactive");
  await story.pass(500);
  const { bytes } = story.scrubber.counters;
  assert(bytes > 0 && bytes <= RATE, `${bytes} bytes in half a second`);
  await story.until(() => story.scrubber.counters.passes === 1);
  const all = bytesOf(member);
  assert(story.scrubber.counters.bytes > all * 0.9, `${story.scrubber.counters.bytes} of ${all}`);
  assert(story.scrubber.counters.bytes < all * 1.1, "not those that are only stored");
  const { bytes: once } = story.scrubber.counters;
  await story.pass(2000);
  assert.equal(story.scrubber.counters.bytes, once);
  assert.deepEqual(story.events, []);
  await story.scrubber.close();
  await Promise.all([member.close(), stored.close()]);
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("Scrubber finds a flipped bit in the oldest table of a running database", async () => {
  const dir = Deno.makeTempDirSync();
  const engine = await makeEngine(dir);
  const path = engine.tableFiles!().toSorted()[0]!;
  const bytes = Deno.readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  Deno.writeFileSync(path, bytes);
  const story = new Story();
  story.add(1, engine);
  await story.until(() => story.events.length > 0);
  assert.match(story.reason, /^Table \d+\.ldb: wrong checksum of the block at \d+$/);
  await story.scrubber.close();
  await engine.close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("Scrubber finds a missing table, and takes merged ones for none", async () => {
  const dir = Deno.makeTempDirSync();
  const engine = await makeEngine(dir);
  const story = new Story({ bytesPerSecond: RATE, intervalMs: 100 });
  story.add(1, engine);
  for (let i = 0; i < 6; i++) {
    await story.pass(200);
    await engine.write([{ type: "put", key: utf8(`more ${i}`), value: new Uint8Array(1000) }]);
    await engine.compact(utf8("a"), utf8("z"));
  }
  const { passes } = story.scrubber.counters;
  await story.until(() => story.scrubber.counters.passes > passes + 1);
  assert.deepEqual(story.events, []);
  Deno.removeSync(engine.tableFiles!()[0]!);
  await story.until(() => story.events.length > 0);
  assert.match(story.reason, /it is gone$/);
  await story.scrubber.close();
  await engine.close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("The last copy serves what is whole of it, and an error for the rest", async () => {
  const dir = Deno.makeTempDirSync();
  const engine = await openLevelEngine(dir, { compression: false });
  const shard = await LeadShard.start({ engine });
  const { scrubber, drivers } = new Story(NO_SCRUB);
  const key = (sortKey: string) => encodeKey(utf8("h"), utf8(sortKey));
  for (const sortKey of ["sound", "damaged"]) {
    const value = utf8(`the value of ${sortKey}`);
    await shard.must(Put, { ...WRITE_HEAD, key: key(sortKey), value, expireTs: 0 });
  }
  await engine.flush();
  const [path] = engine.tableFiles!();
  const bytes = Deno.readFileSync(path!);
  const at = new TextDecoder("latin1").decode(bytes).indexOf("the value of damaged");
  bytes[at]! ^= 1;
  Deno.writeFileSync(path!, bytes);
  const get = (sortKey: string) =>
    shard.ask(Get, { stale: false, stalenessMaxMs: 0, key: key(sortKey) });
  assert.equal((await get("damaged")).error, Err.INVALID_STATE);
  const driver = shard.host.drivers.get(shard.partition)!;
  drivers.set(shard.partition, driver);
  scrubber.tick();
  assert.equal(scrubber.counters.damaged, 1);
  assert.equal(driver.core.status, "primary");
  assert.equal(fromUtf8((await get("sound")).response!.value!), "the value of sound");
  assert.equal((await get("damaged")).error, Err.INVALID_STATE);
  await shard.close();
  Deno.removeSync(dir, { recursive: true });
});
