// The driver of one replica against a scripted core, an engine in memory and a store that remembers.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { FilesError } from "../../../src/base/files.ts";
import type { ReplicaEffect } from "../../../src/replication/io.ts";
import { EngineError } from "../../../storage/engine.ts";
import { KEY, mutation, turn, World } from "./driver_world.ts";

const FETCH = { kind: "fetchImage", from: "r2", signature: 5, ballot: 1 } as const;

function ballotRecord(token: number): ReplicaEffect {
  return { kind: "append", token, record: { kind: "ballot", ballot: 2, reconcileEnd: 4 } };
}

Deno.test("ReplicaDriver performs events raised by effects after the step, in order", () => {
  const world = new World();
  const order: string[] = [];
  const token = {
    deadline: 0,
    peer: "",
    fail: () => {},
    reply: () => {
      world.driver.deliver({ kind: "flush" });
      order.push("reply");
    },
  };
  world.core.script = (event) => {
    order.push(event.kind);
    if (event.kind !== "tick") return [];
    const reply = { kind: "reply", token, error: Err.OK, decree: 1, result: undefined } as const;
    return [reply, reply];
  };
  world.driver.deliver({ kind: "tick" });
  assert.deepEqual(order, ["tick", "reply", "reply", "flush", "flush"]);
});

Deno.test("ReplicaDriver writes mutations in one batch and reports the last decree", async () => {
  const world = new World();
  world.do({ kind: "apply", mutations: [mutation(1, 11), mutation(2, 12)] });
  assert.deepEqual(await world.until("applied"), { kind: "applied", decree: 2 });
  assert.deepEqual(world.store.engine.get(KEY), new Uint8Array([12]));
});

Deno.test("ReplicaDriver reports an apply that the engine or the bytes refuse", async () => {
  const broken = new World();
  broken.do({ kind: "apply", mutations: [{ ...mutation(1, 1), body: new Uint8Array([0, 99]) }] });
  await broken.until("applyFailed");
  const closed = new World();
  await closed.store.engine.close();
  closed.do({ kind: "apply", mutations: [mutation(1, 1)] });
  await closed.until("applyFailed");
});

Deno.test("ReplicaDriver notices a batch that failed behind the answers without another apply", () => {
  const world = new World();
  assert.equal(world.driver.noticeFailure(), false);
  const failure = new EngineError("io", "Write failed");
  Object.defineProperty(world.store.engine, "failure", { value: failure });
  assert.equal(world.driver.noticeFailure(), true);
  assert.deepEqual(world.core.kinds(), ["applyFailed"]);
});

Deno.test("ReplicaDriver finds the quiescent moment between two applies", async () => {
  const world = new World();
  let decree = 0;
  world.core.script = (event) => {
    if (event.kind === "applied") world.core.applied = event.decree;
    const more = event.kind === "tick" || event.kind === "applied";
    if (!more || decree === 50) return [];
    decree++;
    return [{ kind: "apply", mutations: [mutation(decree, decree)] }];
  };
  world.driver.deliver({ kind: "tick" });
  const seen: [number, number | undefined][] = [];
  await new Promise<void>((resolve) => {
    world.driver.whenQuiescent(() => {
      seen.push([world.core.applied, world.store.engine.get(KEY)?.[0]]);
      resolve();
    });
  });
  assert.equal(seen.length, 1);
  assert.equal(seen[0]![0], seen[0]![1]);
  assert.ok(seen[0]![0] >= 1 && seen[0]![0] < 50, "The moment came while applies went on");
});

Deno.test("ReplicaDriver installs an image: manifest first, then the switch", async () => {
  const world = new World();
  world.do(FETCH);
  const installed = await world.until("imageInstalled");
  assert.deepEqual(installed, {
    kind: "imageInstalled",
    signature: 5,
    decree: 9,
    sessions: new Uint8Array([1]),
  });
  assert.deepEqual(world.store.calls, ["stage", "commit 1 9", "activate"]);
});

Deno.test("ReplicaDriver lets its core stand still while the generation changes", async () => {
  const world = new World();
  let open = () => {};
  world.store.gate = new Promise((resolve) => open = resolve);
  world.do(FETCH);
  while (!world.store.calls.includes("commit 1 9")) await turn();
  world.driver.onDurable(1);
  world.driver.deliver({ kind: "flush" });
  assert.deepEqual(world.core.kinds(), ["tick"]);
  open();
  await world.until("flush");
  assert.deepEqual(world.core.kinds(), ["tick", "imageInstalled", "appended", "flush"]);
  world.do(ballotRecord(2));
  assert.equal(world.appended[0]?.record.generation, 2);
});

Deno.test("ReplicaDriver drops an image whose copy was cancelled", async () => {
  const world = new World();
  let open: (image: { decree: number; sessions: Uint8Array }) => void = () => {};
  world.image = () => new Promise((resolve) => open = resolve);
  world.do(FETCH);
  while (world.pulls.length === 0) await turn();
  world.do({ kind: "cancelFetch" });
  assert.equal(world.pulls[0]?.cancelled, true);
  open({ decree: 9, sessions: new Uint8Array([1]) });
  while (!world.store.calls.includes("discard")) await turn();
  assert.deepEqual(world.store.calls, ["stage", "discard"]);
  assert.ok(!world.core.kinds().includes("imageInstalled"));
});

Deno.test("ReplicaDriver reports a manifest that cannot be written as its own failure", async () => {
  const world = new World();
  world.store.gate = Promise.reject(new FilesError("io", "disk gone"));
  world.do(FETCH);
  const failed = await world.until("fetchFailed");
  assert.ok(failed.kind === "fetchFailed" && failed.local);
  world.driver.deliver({ kind: "flush" });
  assert.ok(world.core.kinds().includes("flush"));
});

Deno.test("ReplicaDriver reports a failed copy, but not of one that was cancelled", async () => {
  const failed = new World();
  failed.image = () => Promise.reject(new Error("source gone"));
  failed.do(FETCH);
  const event = await failed.until("fetchFailed");
  assert.deepEqual(event, {
    kind: "fetchFailed",
    signature: 5,
    local: false,
    reason: "source gone",
  });
  assert.deepEqual(failed.store.calls, ["stage", "discard"]);
  const cancelled = new World();
  cancelled.image = () => Promise.reject(new Error("source gone"));
  cancelled.do(FETCH, { kind: "cancelFetch" });
  while (!cancelled.store.calls.includes("discard")) await turn();
  await turn();
  assert.ok(!cancelled.core.kinds().includes("fetchFailed"));
});

Deno.test("ReplicaDriver closes after running work is done and answers nothing any more", async () => {
  const world = new World();
  world.do({ kind: "apply", mutations: [mutation(1, 1)] }, {
    kind: "close",
    reason: "Removed",
    damaged: false,
  });
  assert.deepEqual(world.finished, [{ reason: "Removed", fate: "stays" }]);
  assert.equal(world.driver.engine, undefined);
  await world.driver.stop();
  assert.deepEqual(world.store.calls, ["close"]);
  world.driver.deliver({ kind: "tick" });
  assert.deepEqual(world.core.kinds(), ["tick"]);
});

Deno.test("ReplicaDriver keeps the data when its core throws", () => {
  const world = new World();
  world.core.script = () => {
    throw new Error("a bug");
  };
  world.driver.deliver({ kind: "tick" });
  assert.deepEqual(world.finished, [{ reason: "Internal error", fate: "stays" }]);
});

/** The call of a write, which notes the errors it is answered with. */
function callThat(failed: number[]) {
  return { deadline: 0, peer: "", reply: () => {}, fail: (code: number) => failed.push(code) };
}

Deno.test("ReplicaDriver refuses a write that waited behind the end of the replica", () => {
  const world = new World();
  const failed: number[] = [];
  const call = callThat(failed);
  const request = {
    token: call,
    op: { kind: "empty" },
    session: 0,
    sequence: 0,
    answeredBelow: 0,
    bytes: 0,
  } as const;
  const early = { ...call, reply: () => world.driver.deliver({ kind: "write", request }) };
  world.do(
    { kind: "reply", token: early, error: Err.OK, decree: 1, result: undefined },
    { kind: "close", reason: "Removed", damaged: false },
  );
  assert.deepEqual(failed, [Err.INVALID_STATE]);
});

Deno.test("ReplicaDriver answers whoever waits for a write when it is ended from outside, or breaks", () => {
  for (const isBroken of [false, true]) {
    const world = new World();
    const failed: number[] = [];
    const token = callThat(failed);
    const error = Err.OUTCOME_UNKNOWN;
    world.core.script = (event) => {
      if (event.kind === "tick" && isBroken) throw new Error("a bug");
      if (event.kind !== "metaContact") return [];
      return [{ kind: "reply", token, error, decree: 0, result: undefined }];
    };
    if (isBroken) world.driver.deliver({ kind: "tick" });
    else world.driver.finish("An operator closed it", "stays");
    assert.deepEqual(failed, [error]);
    assert.deepEqual(world.finished.map(({ fate }) => fate), ["stays"]);
  }
});
