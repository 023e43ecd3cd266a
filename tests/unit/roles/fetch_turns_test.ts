// FetchTurns: chunks of one source come one by one, and a slow source delays no other.

import assert from "node:assert/strict";
import { FetchTurns } from "../../../roles/replica/fetch_turns.ts";

/** Fetches that end when the test says so. */
class Fetches {
  readonly turns = new FetchTurns();
  readonly started: string[] = [];
  readonly #ends = new Map<string, { ok: () => void; fail: (error: Error) => void }>();

  run(address: string, name: string): Promise<string> {
    return this.turns.run(address, () => {
      this.started.push(name);
      return new Promise<string>((resolve, reject) => {
        this.#ends.set(name, { ok: () => resolve(name), fail: reject });
      });
    });
  }

  end(name: string): void {
    this.#ends.get(name)!.ok();
  }

  fail(name: string): void {
    this.#ends.get(name)!.fail(new Error(`${name} failed`));
  }
}

Deno.test("FetchTurns runs the fetches of one source one by one, in their order", async () => {
  const fetches = new Fetches();
  const all = ["a", "b", "c"].map((name) => fetches.run("n1:1", name));
  assert.deepEqual(fetches.started, ["a"]);
  fetches.end("a");
  assert.equal(await all[0], "a");
  await turn();
  assert.deepEqual(fetches.started, ["a", "b"]);
  fetches.end("b");
  await turn();
  assert.deepEqual(fetches.started, ["a", "b", "c"]);
  fetches.end("c");
  assert.deepEqual(await Promise.all(all), ["a", "b", "c"]);
});

Deno.test("FetchTurns gives the turn of a fetch that failed to the next one", async () => {
  const fetches = new Fetches();
  const all = ["a", "b"].map((name) => fetches.run("n1:1", name));
  fetches.fail("a");
  await assert.rejects(all[0]!, /a failed/);
  await turn();
  assert.deepEqual(fetches.started, ["a", "b"]);
  fetches.end("b");
  await all[1];
  await turn();
  fetches.run("n1:1", "c");
  assert.deepEqual(fetches.started, ["a", "b", "c"], "Nobody has the turn any more");
});

Deno.test("FetchTurns does not let one source delay another", () => {
  const fetches = new Fetches();
  for (const name of ["a", "b"]) fetches.run("n1:1", name);
  fetches.run("n2:1", "other");
  assert.deepEqual(fetches.started, ["a", "other"]);
});

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
