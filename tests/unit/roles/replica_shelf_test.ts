// The replicas of a shard on a full disk and at the end of their server: none is given up, and none is left open.

import assert from "node:assert/strict";
import { FilesError, isNoSpace } from "../../../src/base/files.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import { NEW_REPLICA } from "../../../src/replication/io.ts";
import { ReplicaShelf } from "../../../roles/replica/replica_shelf.ts";
import type { OpenedReplica } from "../../../roles/replica/replica_store.ts";
import { FakeStore } from "./fake_store.ts";
import { turn, World } from "./driver_world.ts";

/** A shelf, with one open replica unless it is empty, whose disk may be full. */
class ShelfWorld {
  readonly world = new World();
  readonly store = this.world.store;
  readonly partition = this.store.partition;
  readonly aside: string[] = [];
  readonly moved: string[] = [];
  readonly shelf: ReplicaShelf;
  isFull = false;
  create: () => Promise<OpenedReplica> = () => Promise.reject(new Error("Not expected"));
  reopen: () => Promise<OpenedReplica | undefined> = () => Promise.resolve(undefined);
  #pauses: (() => void)[] = [];

  constructor({ isEmpty = false } = {}) {
    const close = this.store.close.bind(this.store);
    this.store.close = async () => {
      await close();
      if (this.isFull) throw new FilesError("noSpace", "Cannot write: disk full");
    };
    this.shelf = new ReplicaShelf({
      stores: {
        create: () => this.create(),
        reopen: () => this.reopen(),
        moveAside: async (_partition, reason) => void this.aside.push(reason),
        locate: () => "data1",
        refusal: () => undefined,
        move: async (_partition, tag) => {
          this.moved.push(tag);
          return { bytes: 1 };
        },
        drop: () => [],
      },
      logger: SILENT,
      build: () => this.world.driver,
      opened() {},
      onChange() {},
      pause: () => new Promise((resolve) => this.#pauses.push(resolve)),
    });
    if (isEmpty) return;
    this.shelf.add({ store: this.store, recovered: NEW_REPLICA, maxReplicaCount: 1 });
  }

  get covered(): number {
    return this.shelf.covered(this.partition, 1);
  }

  /** Time passes until the next try. */
  async retry(): Promise<void> {
    for (let i = 0; this.#pauses.length === 0; i++) {
      assert.ok(i < 1000, "Nothing is tried again");
      await turn();
    }
    this.#pauses.shift()!();
    await turn();
  }
}

Deno.test("ReplicaShelf keeps a replica whose log cannot be saved for want of space, and closes it when it can", async () => {
  const full = new ShelfWorld();
  full.isFull = true;
  full.shelf.close(full.world.driver, "Test", "stays");
  for (let i = 0; i < 3; i++) {
    await full.retry();
    assert.equal(full.covered, 0, "the shared log has the end of its log");
    assert.deepEqual(full.shelf.reports().map(({ status }) => status), ["inactive"]);
  }
  full.shelf.discard(full.partition);
  full.isFull = false;
  await full.retry();
  assert.deepEqual([full.covered, full.shelf.isClosed(full.partition)], [Infinity, true]);
  assert.deepEqual(full.aside, []);
});

Deno.test("ReplicaShelf moves a replica off a full disk when the end of its log is saved", async () => {
  const full = new ShelfWorld();
  full.isFull = true;
  assert.equal(full.shelf.move(full.partition, "data2"), true);
  await full.retry();
  assert.deepEqual([full.moved, full.covered], [[], 0]);
  full.isFull = false;
  await full.retry();
  assert.deepEqual([full.moved, full.aside], [["data2"], []]);
  assert.equal(full.shelf.isClosed(full.partition), true);
});

Deno.test("ReplicaShelf ends on a full disk with everything closed, nothing given up, and says so", async () => {
  for (const isClosing of [false, true]) {
    const full = new ShelfWorld();
    full.isFull = true;
    if (isClosing) full.shelf.close(full.world.driver, "Test", "reopen");
    await turn();
    const ended = assert.rejects(full.shelf.closeAll(), isNoSpace);
    if (isClosing) await full.retry();
    await ended;
    assert.ok(full.store.calls.includes("close"));
    assert.deepEqual(full.aside, []);
  }
});

Deno.test("ReplicaShelf closes a replica that was being opened when the server ends", async () => {
  const ending = new ShelfWorld();
  let open: (opened: OpenedReplica) => void = () => {};
  ending.create = () => new Promise((resolve) => open = resolve);
  const other = ending.partition + 1;
  ending.shelf.open(other, undefined, { kind: "tick" });
  let isOver = false;
  const over = ending.shelf.closeAll().then(() => isOver = true);
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(isOver, false);
  const store = new FakeStore(other);
  open({ store, recovered: NEW_REPLICA, maxReplicaCount: 1 });
  await over;
  assert.deepEqual([store.calls, ending.store.calls], [["close"], ["close"]]);
});

Deno.test("ReplicaShelf opens a replica that found no room at the start when there is room", async () => {
  for (const isOver of [true, false]) {
    const late = new ShelfWorld({ isEmpty: true });
    const { partition, shelf, store } = late;
    late.reopen = () => Promise.reject(new FilesError("noSpace", "Cannot write: disk full"));
    const report = { ...late.world.core.report(), status: "inactive", bytes: 0 } as const;
    shelf.addFull(report, store.table);
    for (let i = 0; i < 2; i++) {
      await late.retry();
      assert.equal(late.covered, 0, "only the shared log may have the end of its log");
      assert.deepEqual(shelf.reports().map(({ status }) => status), ["inactive"]);
      assert.equal(shelf.move(partition, "data2"), false);
    }
    if (isOver) {
      await assert.rejects(shelf.closeAll(), /needs the shared log for 1.0/);
      continue;
    }
    late.reopen = () => Promise.resolve({ store, recovered: NEW_REPLICA, maxReplicaCount: 1 });
    await late.retry();
    assert.deepEqual([...shelf.drivers.keys()], [partition]);
    await shelf.closeAll();
    assert.deepEqual([store.calls, late.aside], [["close"], []]);
  }
});

Deno.test("ReplicaShelf makes no empty replica of one that was set aside while it waited for room", async () => {
  const late = new ShelfWorld({ isEmpty: true });
  let created = 0;
  late.create = () => {
    created++;
    return Promise.reject(new Error("Not expected"));
  };
  late.reopen = () => Promise.reject(new FilesError("noSpace", "Cannot write: disk full"));
  const report = { ...late.world.core.report(), status: "inactive", bytes: 0 } as const;
  late.shelf.addFull(report, late.store.table);
  await turn();
  late.shelf.discard(late.partition);
  await turn();
  assert.deepEqual([late.aside, late.covered], [["gar"], Infinity]);
  await late.retry();
  assert.deepEqual([created, late.shelf.holds(late.partition)], [0, false]);
});
