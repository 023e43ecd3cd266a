// What every coordinator must do: the embedded store passes it on a modelled and on a real disk,
// other stores with their own factory. See src/coordination/coordinator.ts.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import {
  type Coordinator,
  CoordinatorError,
  type LeadershipEvent,
  type StoreErrorKind,
  type StoreOp,
} from "../../src/coordination/coordinator.ts";

/** How the suite gets stores of one kind. */
export interface CoordinatorFactory {
  readonly name: string;
  /** A new, empty store. `open` connects to it (again, after the last connection was closed). */
  create(): Promise<{ open(): Promise<Coordinator>; destroy(): Promise<void> }>;
}

/** Waits until the coordinator elects this candidate. */
export function elected(store: Coordinator, events: LeadershipEvent[] = []): Promise<number> {
  return new Promise((resolve) =>
    store.campaign("127.0.0.1:1", (event) => {
      events.push(event);
      if (event.kind === "elected") resolve(event.epoch);
    })
  );
}

/** A create operation. */
export function create(path: string, text = ""): StoreOp {
  return { op: "create", path, value: utf8(text) };
}

/** A set operation. */
export function set(path: string, text: string, version: number): StoreOp {
  return { op: "set", path, value: utf8(text), version };
}

async function fails(promise: Promise<unknown>, kind: StoreErrorKind): Promise<void> {
  await assert.rejects(
    promise,
    (error) => error instanceof CoordinatorError && error.kind === kind,
    `Expected ${kind}`,
  );
}

async function textOf(store: Coordinator, path: string): Promise<string | undefined> {
  const node = await store.get(path);
  return node === undefined ? undefined : fromUtf8(node.value);
}

/** Registers the tests. */
export function coordinatorSuite(factory: CoordinatorFactory): void {
  const test = (
    name: string,
    body: (open: () => Promise<Coordinator>) => Promise<void>,
  ) =>
    Deno.test(`${factory.name} ${name}`, async () => {
      const place = await factory.create();
      try {
        await body(() => place.open());
      } finally {
        await place.destroy();
      }
    });

  test("keeps a tree of versioned values", async (open) => {
    const store = await open();
    const epoch = await elected(store);
    assert.equal(await store.get("/a"), undefined);
    assert.deepEqual(await store.children("/a"), []);
    const versions = await store.multi([create("/a", "1"), create("/a/y"), create("/a/x")], epoch);
    assert.deepEqual(versions, [0, 0, 0]);
    assert.deepEqual(await store.children("/a"), ["x", "y"]);
    assert.deepEqual(await store.multi([set("/a", "2", 0)], epoch), [1]);
    assert.deepEqual(await store.get("/a"), { path: "/a", value: utf8("2"), version: 1 });
    assert.deepEqual(await store.multi([{ op: "delete", path: "/a/x", version: 0 }], epoch), [-1]);
    assert.deepEqual(await store.children("/a"), ["y"]);
    await store.close();
  });

  test("refuses what does not match", async (open) => {
    const store = await open();
    const epoch = await elected(store);
    await store.multi([create("/a"), create("/a/b")], epoch);
    await fails(store.multi([create("/a")], epoch), "nodeExists");
    await fails(store.multi([create("/x/y")], epoch), "noNode");
    await fails(store.multi([set("/x", "", -1)], epoch), "noNode");
    await fails(store.multi([set("/a", "", 1)], epoch), "badVersion");
    await fails(store.multi([{ op: "check", path: "/a", version: 1 }], epoch), "badVersion");
    await fails(store.multi([{ op: "delete", path: "/a", version: -1 }], epoch), "notEmpty");
    assert.deepEqual(await store.multi([set("/a", "any", -1)], epoch), [1]);
    await store.close();
  });

  test("applies a group as a whole or not at all", async (open) => {
    const store = await open();
    const epoch = await elected(store);
    await store.multi([create("/a", "1"), create("/a/gone")], epoch);
    await fails(
      store.multi([
        set("/a", "2", 0),
        { op: "delete", path: "/a/gone", version: 0 },
        create("/b"),
        set("/a", "3", 0),
      ], epoch),
      "badVersion",
    );
    assert.deepEqual(await store.get("/a"), { path: "/a", value: utf8("1"), version: 0 });
    assert.deepEqual(await store.children("/a"), ["gone"]);
    assert.equal(await store.get("/b"), undefined);
    await store.close();
  });

  test("lets one of many concurrent writers of a version win", async (open) => {
    const store = await open();
    const epoch = await elected(store);
    await store.multi([create("/a", "0")], epoch);
    const attempts = Array.from(
      { length: 10 },
      (_, i) => store.multi([set("/a", `${i}`, 0)], epoch),
    );
    const results = await Promise.allSettled(attempts);
    assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
    assert.equal((await store.get("/a"))?.version, 1);
    await store.close();
  });

  test("fences the writes of earlier reigns", async (open) => {
    const first = await open();
    const oldEpoch = await elected(first);
    await first.multi([create("/a", "old")], oldEpoch);
    await first.close();
    const second = await open();
    await fails(second.multi([set("/a", "early", 0)], oldEpoch + 1), "notLeader");
    const epoch = await elected(second);
    assert.ok(epoch > oldEpoch, `Expected ${epoch} > ${oldEpoch}`);
    await fails(second.multi([set("/a", "late", 0)], oldEpoch), "notLeader");
    await second.multi([set("/a", "new", 0)], epoch);
    assert.equal(await textOf(second, "/a"), "new");
    await second.close();
  });

  test("keeps everything over a restart", async (open) => {
    const first = await open();
    const epoch = await elected(first);
    await first.multi([create("/a", "1"), create("/a/b", "2")], epoch);
    await first.multi([set("/a/b", "3", 0)], epoch);
    await first.close();
    const second = await open();
    assert.deepEqual(await second.get("/a/b"), { path: "/a/b", value: utf8("3"), version: 1 });
    assert.deepEqual(await second.children("/"), ["a"]);
    await second.close();
  });

  test("may lead only while it is open", async (open) => {
    const store = await open();
    const epoch = await elected(store);
    assert.ok(store.leaderUntil() > performance.now());
    await store.close();
    await fails(store.multi([create("/a")], epoch), "closed");
    await fails(store.get("/a"), "closed");
    assert.ok(store.leaderUntil() < performance.now());
  });
}
