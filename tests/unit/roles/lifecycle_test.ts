// Start and stop of a process, with signals and faults injected.

import assert from "node:assert/strict";
import { SILENT } from "../../../src/observe/logger.ts";
import { Lifecycle, type ProcessHooks } from "../../../roles/lifecycle.ts";

const MINUTE_MS = 60_000;

function fakeProcess() {
  const signals = new Map<string, () => void>();
  let fault: (kind: string, error: unknown) => void = () => {};
  const exited = Promise.withResolvers<number>();
  const hooks: ProcessHooks = {
    onSignal: (signal, handler) => signals.set(signal, handler),
    onFault: (handler) => fault = handler,
    exit: (code) => exited.resolve(code),
  };
  return {
    hooks,
    exited: exited.promise,
    signal: (name: string) => signals.get(name)!(),
    fault: (error: unknown) => fault("Unhandled rejection", error),
  };
}

Deno.test("Lifecycle stops in reverse order on a signal and ends with 0", async () => {
  const fake = fakeProcess();
  const lifecycle = new Lifecycle(SILENT, () => MINUTE_MS, fake.hooks);
  const stopped: string[] = [];
  for (const name of ["files", "engine", "listener"]) {
    lifecycle.onStop(name, async () => {
      await Promise.resolve();
      stopped.push(name);
    });
  }
  fake.signal("SIGTERM");
  assert.equal(await fake.exited, 0);
  assert.deepEqual(stopped, ["listener", "engine", "files"]);
});

Deno.test("Lifecycle goes on after a part that cannot stop, and ends with 1", async () => {
  const fake = fakeProcess();
  const lifecycle = new Lifecycle(SILENT, () => MINUTE_MS, fake.hooks);
  let stopped = false;
  lifecycle.onStop("files", () => {
    stopped = true;
  });
  lifecycle.onStop("engine", () => Promise.reject(new Error("stuck")));
  fake.signal("SIGINT");
  assert.equal(await fake.exited, 1);
  assert(stopped);
});

Deno.test("Lifecycle ends with 1 when stopping takes too long", async () => {
  const fake = fakeProcess();
  const lifecycle = new Lifecycle(SILENT, () => 5, fake.hooks);
  lifecycle.onStop("engine", () => new Promise(() => {}));
  fake.signal("SIGTERM");
  assert.equal(await fake.exited, 1);
});

Deno.test("Lifecycle asks when it stops how long that may take", async () => {
  const fake = fakeProcess();
  let deadlineMs = MINUTE_MS;
  const lifecycle = new Lifecycle(SILENT, () => deadlineMs, fake.hooks);
  lifecycle.onStop("engine", () => new Promise(() => {}));
  deadlineMs = 5;
  fake.signal("SIGTERM");
  assert.equal(await fake.exited, 1);
});

Deno.test("Lifecycle ends at once on the second signal", async () => {
  const fake = fakeProcess();
  const lifecycle = new Lifecycle(SILENT, () => MINUTE_MS, fake.hooks);
  const gate = Promise.withResolvers<void>();
  lifecycle.onStop("engine", () => gate.promise);
  fake.signal("SIGINT");
  fake.signal("SIGINT");
  assert.equal(await fake.exited, 130);
  gate.resolve();
});

Deno.test("Lifecycle ends with 1 on a fault nobody handled", async () => {
  const fake = fakeProcess();
  new Lifecycle(SILENT, () => MINUTE_MS, fake.hooks);
  fake.fault(new Error("bug"));
  assert.equal(await fake.exited, 1);
});

Deno.test("Lifecycle stops what it can and ends with 1 when a part cannot go on", async () => {
  const fake = fakeProcess();
  const lifecycle = new Lifecycle(SILENT, () => MINUTE_MS, fake.hooks);
  let stopped = 0;
  lifecycle.onStop("engine", () => {
    stopped++;
  });
  lifecycle.fail("the store is lost");
  lifecycle.fail("and again");
  assert.equal(await fake.exited, 1);
  assert.equal(stopped, 1);
});

Deno.test("Lifecycle stops nothing when what the process stands on has failed", async () => {
  const fake = fakeProcess();
  const lifecycle = new Lifecycle(SILENT, () => MINUTE_MS, fake.hooks);
  let stopped = 0;
  lifecycle.onStop("engine", () => {
    stopped++;
  });
  lifecycle.abandon(new Error("the disk is gone"));
  assert.equal(await fake.exited, 1);
  assert.equal(stopped, 0);
});
