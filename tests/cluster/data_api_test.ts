// The data operations against real servers that fail meanwhile: every answer is the model's, expired rows leave every
// disk, and followers answer when they may.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { openCluster, type Table } from "../../src/client/mod.ts";
import { decodeKey, USER_KEYS_END, USER_KEYS_START } from "../../src/schema/key_format.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { DataModel, REFUSED } from "../unit/roles/data_model.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const WAIT_MS = 60_000;
const SERVERS = ["r1", "r2", "r3"];
const HASH_KEYS = ["a", "b", "c", "d", "e", "\xff"].map(utf8);
const SORT_KEYS = ["", "1", "2", "3", "\xff\xff"].map(utf8);
const VALUES = ["", "5", "-7", "text"].map(utf8);

/** A row that is no number cannot be counted up; whatever else goes wrong is no answer. */
function refusal(error: unknown): typeof REFUSED {
  if (error instanceof StoreError && error.code === Err.INVALID_ARGUMENT) return REFUSED;
  throw error;
}

/** One random operation on the table and on the model; the answers must agree. */
async function operate(table: Table, model: DataModel, random: Prng): Promise<void> {
  const hash = random.pick(HASH_KEYS);
  const sort = random.pick(SORT_KEYS);
  const value = random.pick(VALUES);
  switch (random.below(7)) {
    case 0:
      await table.set(hash, sort, value);
      return model.put(hash, sort, value, 0);
    case 1:
      await table.del(hash, sort);
      return model.remove(hash, sort);
    case 2: {
      const answer = await table.incr(hash, sort, 3n).catch(refusal);
      return assert.equal(answer, model.incr(hash, sort, 3n, 0));
    }
    case 3: {
      const check = { sortKey: sort, type: "bytes_less" as const, operand: "6" };
      const { passed } = await table.checkAndSet(hash, check, { sortKey: "1", value });
      assert.equal(passed, model.check(hash, sort, "bytes_less", utf8("6")));
      if (passed) model.put(hash, utf8("1"), value, 0);
      return;
    }
    case 4: {
      const changes = [{ put: "1", value }, { remove: sort }, { put: "2", value: "x" }];
      const { passed } = await table.checkAndMutate(
        hash,
        { sortKey: sort, type: "exist" },
        changes,
      );
      assert.equal(passed, model.check(hash, sort, "exist", utf8("")));
      if (!passed) return;
      model.put(hash, utf8("1"), value, 0);
      model.remove(hash, sort);
      return model.put(hash, utf8("2"), utf8("x"), 0);
    }
    case 5: {
      const { rows } = await table.multiGet(hash, { reverse: random.chance(0.5) });
      return assert.deepEqual(
        rows.map((row) => fromUtf8(row.value)),
        model.group(hash).map((row) => fromUtf8(row.value)),
      );
    }
    default: {
      const found = await table.get(hash, sort);
      const expected = model.get(hash, sort)?.value;
      assert.equal(found && fromUtf8(found), expected && fromUtf8(expected));
    }
  }
}

Deno.test("Every answer is the model's while primaries die and come back", async () => {
  await withCluster({}, async (cluster) => {
    await cluster.createTable("t", 4, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 30_000 });
    try {
      const table = client.table("t");
      const model = new DataModel();
      const random = new Prng("data api");
      const steps = async (count: number) => {
        for (let i = 0; i < count; i++) await operate(table, model, random);
      };
      await steps(100);
      for (const name of ["r1", "r2"]) {
        await cluster.kill(name);
        await steps(100);
        await cluster.start(name);
        await steps(50);
        await cluster.waitForTable("t", 3);
      }
      const found: string[] = [];
      for await (const row of table.fullScan()) found.push(fromUtf8(row.value));
      assert.deepEqual(found.sort(), model.living().map((row) => fromUtf8(row.value)).sort());
    } finally {
      await client.close();
    }
  });
});

Deno.test("Expired rows leave the disk of every replica, and the others stay", async () => {
  await withCluster({ settings: { "sweep-rows-per-second": 20_000 } }, async (cluster) => {
    await cluster.createTable("t", 4, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 30_000 });
    try {
      const table = client.table("t");
      await client.admin.updateEnvs("t", { set: { default_ttl: "90000" } });
      const isKnown = async () => {
        await table.set("default", "s", "v");
        return await table.ttl("default", "s") !== -1;
      };
      assert(await waitFor(isKnown, WAIT_MS), "default_ttl reaches the primary");
      for (let i = 0; i < 40; i++) {
        const rows = (prefix: string) =>
          Array.from({ length: 10 }, (_, n) => ({ sortKey: `${prefix}${n}`, value: "v" }));
        await table.multiSet(`h${i}`, rows("mortal"), { ttl: 1 });
        await table.multiSet(`h${i}`, rows("living"), { ttl: 100_000 });
      }
      assert(await waitFor(async () => !(await table.exist("h39", "mortal9")), WAIT_MS));
      // A new primary begins a new pass at once. Killed, for servers that stop hand their partitions over: the
      // pass would begin on one that stops a moment later, and its counters with it.
      await cluster.killAll();
      await cluster.startAll();
      await cluster.waitForTable("t", 3);
      const swept = async () => {
        const counters = (await ask(cluster, client, "sweeper")).map((text) => JSON.parse(text));
        return counters.reduce((sum, { deleted }) => sum + deleted, 0) >= 400;
      };
      assert(await waitFor(swept, WAIT_MS), "Every expired row is swept");
      const equal = async () => {
        const states = (await ask(cluster, client, "replicas")).map((text) =>
          text.split("\n").map((line) => line.replace(/ (primary|secondary|durable \d+)/g, ""))
            .sort()
        );
        return states.every((state) => state.join() === states[0]!.join());
      };
      assert(await waitFor(equal, WAIT_MS), "Every replica has applied everything");
    } finally {
      await client.close();
    }
    await cluster.stopAll();
    for (const name of SERVERS) {
      const names = await storedOn(`${cluster.dir}/${name}/data`);
      const mortal = names.filter((sortKey) => sortKey.startsWith("mortal")).length;
      assert.deepEqual([mortal, names.length], [0, 401], name);
    }
  });
});

Deno.test("Followers answer what is fresh enough, and leave the rest to the primary", async () => {
  // Nobody takes over during the test: only a follower can answer for a primary that stands still.
  const settings = { "group-check-interval": "200ms", "lease": "50s", "grace": "55s" };
  await withCluster({ settings }, async (cluster) => {
    await cluster.createTable("t", 1, 3);
    let refused = 0;
    const client = openCluster({
      meta: cluster.metas,
      timeoutMs: 20_000,
      log: (_level, message) => {
        if (message === "An attempt failed") refused++;
      },
    });
    try {
      const table = client.table("t", { hedgeAfterMs: 50 });
      await table.set("h", "s", "v");
      const fresh = { stale: { maxStalenessMs: 5000 } };
      const isThere = async () => await table.get("h", "s", fresh) !== undefined;
      // They are asked in turn.
      const isOnBoth = async () => await isThere() && await isThere();
      assert(await waitFor(isOnBoth, WAIT_MS), "Both followers show the row");
      refused = 0;
      for (let i = 0; i < 50; i++) assert.equal(await isThere(), true);
      assert.equal(refused, 0, "Followers are fresh enough for 5 s");
      const isRefused = async () => {
        const found = await table.get("h", "s", { stale: { maxStalenessMs: 1 } });
        assert.equal(fromUtf8(found!), "v", "The primary answers instead");
        return refused > 0;
      };
      assert(await waitFor(isRefused, WAIT_MS), "No follower of an idle group is fresh for 1 ms");
      // The primary stands still: followers answer hedged reads.
      const { partitions } = await client.admin.tableConfig("t");
      const primary = SERVERS.find((name) => cluster.addressOf(name) === partitions[0]!.primary)!;
      Deno.kill(cluster.pidOf(primary), "SIGSTOP");
      try {
        assert.equal(fromUtf8((await table.get("h", "s"))!), "v");
      } finally {
        Deno.kill(cluster.pidOf(primary), "SIGCONT");
      }
    } finally {
      await client.close();
    }
  });
});

/** Answers of every replica server to a maintenance command. */
async function ask(
  cluster: TestCluster,
  client: ReturnType<typeof openCluster>,
  command: string,
): Promise<string[]> {
  return await Promise.all(
    SERVERS.map((name) => client.admin.remoteCommand(cluster.addressOf(name), command, [])),
  );
}

/** Sort keys of all rows in all engines of a stopped server. */
async function storedOn(dataDir: string): Promise<string[]> {
  const names: string[] = [];
  for (const path of engineDirs(dataDir)) {
    const engine = await openLevelEngine(path);
    const iterator = engine.range({ gte: USER_KEYS_START, lt: USER_KEYS_END });
    for (;;) {
      const entries = await iterator.next(1000);
      if (entries.length === 0) break;
      for (const [key] of entries) names.push(fromUtf8(decodeKey(key)!.sortKey));
    }
    await iterator.close();
    await engine.close();
  }
  return names;
}

/** Directories below `path` that hold a LevelDB. */
function engineDirs(path: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(path)) {
    if (entry.isDirectory) found.push(...engineDirs(`${path}/${entry.name}`));
    else if (entry.name === "CURRENT") found.push(path);
  }
  return found;
}
