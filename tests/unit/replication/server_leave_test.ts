// A replica server that is about to end: how long it waits, and for whom.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { Story } from "./server_story.ts";

Deno.test("ServerCore that leaves asks meta until nothing is left to give away", () => {
  const story = new Story().connect();
  story.step({ kind: "leave" });
  assert.equal(story.core.leaving, true);
  story.sync([], { handOver: 2 });
  assert.deepEqual(story.of("left"), []);
  story.pass(50);
  story.sync([], { handOver: 0 });
  assert.deepEqual(story.of("left"), [{ kind: "left", handedOver: true }]);
  story.pass(50);
  story.sync([], { handOver: 0 });
  assert.equal(story.of("left").length, 0, "told once");
});

Deno.test("ServerCore that leaves ignores what meta said before it knew", () => {
  const story = new Story().connect();
  story.step({ kind: "requestConfigSync" });
  story.pass(200);
  const [before] = story.of("configSync");
  story.step({ kind: "leave" });
  const { attempt } = before!;
  const answer = { configs: [], tables: [], garbage: [], nodes: [], handOver: 0 };
  story.step({ kind: "syncReply", attempt, error: Err.OK, reported: [], answer });
  assert.deepEqual(story.of("left"), []);
});

Deno.test("ServerCore that leaves does not wait for a meta that is away", () => {
  const failuresUntilLeft = (error: number, metas?: string[], firstErrors: number[] = []) => {
    const story = new Story(metas).connect();
    story.step({ kind: "leave" });
    for (let failures = 0;; failures++) {
      const [left] = story.of("left");
      if (left !== undefined) return [failures, left.handedOver];
      if (story.of("configSync").length === 0) story.pass(50);
      const { attempt } = story.of("configSync")[0]!;
      const failure = { reported: [], answer: undefined, error: firstErrors[failures] ?? error };
      story.step({ kind: "syncReply", attempt, ...failure });
    }
  };
  assert.deepEqual(failuresUntilLeft(Err.TIMEOUT), [20, false]);
  assert.deepEqual(failuresUntilLeft(Err.CONNECT_FAILED), [20, false], "another may lead soon");
  assert.deepEqual(failuresUntilLeft(Err.CONNECT_FAILED, ["m1:1"]), [4, false]);
  const slowAtFirst = [Err.TIMEOUT, Err.TIMEOUT, Err.TIMEOUT];
  assert.deepEqual(failuresUntilLeft(Err.CONNECT_FAILED, ["m1:1"], slowAtFirst), [7, false]);
  assert.equal(new Story().step({ kind: "leave" }).at(-1)?.kind, "left", "without contact at once");
});
