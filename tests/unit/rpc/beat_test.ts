// The shared timer: everybody at his own pace, nobody harmed by another, nothing left running.

import assert from "node:assert/strict";
import { BEAT_MS, everyBeat } from "../../../src/rpc/beat.ts";

function until(ready: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = setInterval(() => {
      if (!ready()) return;
      clearInterval(look);
      resolve();
    }, 5);
  });
}

Deno.test("everyBeat() runs each at its pace and stops", async () => {
  let [fast, slow] = [0, 0];
  const stopFast = everyBeat(1, () => fast++);
  const stopSlow = everyBeat(3 * BEAT_MS, () => slow++);
  await until(() => slow === 2);
  assert.equal(fast, 6);
  stopFast();
  await until(() => slow === 3);
  assert.equal(fast, 6);
  stopSlow();
  stopSlow();
});

Deno.test("everyBeat() keeps running for the others when one throws, and the error is not lost", async () => {
  const errors: unknown[] = [];
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error.message);
  };
  globalThis.addEventListener("error", onError);
  let runs = 0;
  const stopBad = everyBeat(BEAT_MS, () => {
    throw new Error("bad");
  });
  const stopGood = everyBeat(BEAT_MS, () => runs++);
  await until(() => runs === 2);
  stopBad();
  stopGood();
  globalThis.removeEventListener("error", onError);
  assert.deepEqual(errors, ["bad", "bad"]);
});
