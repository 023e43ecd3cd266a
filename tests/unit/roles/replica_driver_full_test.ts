// The driver of one replica whose disk is full: it waits, is opened anew where its database needs that, and ends.

import assert from "node:assert/strict";
import { FilesError } from "../../../src/base/files.ts";
import { EngineError } from "../../../storage/engine.ts";
import { mutation, World } from "./driver_world.ts";

const NOTHING = new Uint8Array(0);
const CHECKPOINT = {
  kind: "checkpoint",
  attempt: 3,
  whole: true,
  decree: 7,
  ballot: 1,
  sessions: NOTHING,
} as const;

Deno.test("ReplicaDriver does not give a replica up because its disk is full", async () => {
  const world = new World();
  const refuse = () => {
    throw new FilesError("noSpace", "Cannot write: disk full");
  };
  world.store.writeLog = refuse;
  world.store.syncLog = () => Promise.resolve().then(refuse);
  world.store.checkpoint = () => Promise.resolve().then(refuse);
  world.do(CHECKPOINT);
  assert.deepEqual(await world.until("checkpointed"), {
    kind: "checkpointed",
    attempt: 3,
    decree: 0,
  });
  assert.equal(world.full, true);
  world.driver.writeLog();
  await world.driver.syncLog();
  // While it is known to be full nothing is tried: a failed flush breaks the database.
  world.store.checkpoint = () => Promise.reject(new Error("must not be called"));
  world.core.events.length = 0;
  world.do(CHECKPOINT);
  await world.until("checkpointed");
  assert.deepEqual(world.core.kinds().filter((kind) => /Failed/.test(kind)), []);
  assert.deepEqual(world.finished, []);
});

Deno.test("ReplicaDriver starts a replica anew whose database needs it after a full disk", async () => {
  const world = new World();
  const full = new EngineError("noSpace", "No space left on device");
  world.store.engine.apply = () => Promise.reject(full);
  world.do({ kind: "apply", mutations: [mutation(1, 1)] });
  const contact = await world.until("metaContact");
  assert.deepEqual(contact, { kind: "metaContact", connected: false }, "its clients are answered");
  assert.deepEqual(world.finished, [{ reason: "The disk was full", fate: "reopen" }]);
});

Deno.test("ReplicaDriver opens a database anew that refuses checkpoints when its disk has room again, without a write", async () => {
  const world = new World();
  let asked = 0;
  world.store.checkpoint = () => {
    asked++;
    return Promise.reject(new EngineError("noSpace", "No space left on device"));
  };
  world.do(CHECKPOINT);
  await world.until("checkpointed");
  assert.equal(world.full, true);
  assert.equal(world.driver.noticeFailure(), false, "a full disk would not let it open");
  world.full = false;
  world.core.events.length = 0;
  world.do(CHECKPOINT);
  await world.until("checkpointed");
  assert.deepEqual([asked, world.full], [1, false], "its refusal says nothing about the disk");
  assert.equal(world.driver.noticeFailure(), true);
  assert.equal(world.core.kinds().at(-1), "metaContact");
  assert.deepEqual(world.finished, [{ reason: "The disk was full", fate: "reopen" }]);
});

Deno.test("ReplicaDriver opens a database anew that refused a batch behind the answers for want of space", () => {
  const world = new World();
  const failure = new EngineError("noSpace", "No space left on device");
  Object.defineProperty(world.store.engine, "failure", { value: failure });
  assert.equal(world.driver.noticeFailure(), true);
  assert.deepEqual(world.finished, [{ reason: "The disk was full", fate: "reopen" }]);
});

Deno.test("ReplicaDriver stops while its engine waits for room", async () => {
  const world = new World();
  let letGo: (error: Error) => void = () => {};
  world.store.engine.apply = () => new Promise((_, failed) => letGo = failed);
  world.store.engine.stopWaiting = () => letGo(new EngineError("noSpace", "disk full"));
  world.do({ kind: "apply", mutations: [mutation(1, 1)] });
  await world.driver.stop();
  assert.deepEqual(world.store.calls, ["close"]);
});

Deno.test("ReplicaDriver takes its checkpoint later if the database can have no more files now", async () => {
  const world = new World();
  world.store.checkpoint = () => Promise.reject(new EngineError("noFile", "log file stayed"));
  world.do(CHECKPOINT);
  const done = await world.until("checkpointed");
  assert.deepEqual(done, { kind: "checkpointed", attempt: 3, decree: 0 });
  assert.deepEqual([world.full, world.driver.noticeFailure(), world.finished], [false, false, []]);
});
