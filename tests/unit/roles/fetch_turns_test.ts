// FetchTurns: how many chunks are on their way from one source, in which order, and what a slow source delays.

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

Deno.test("FetchTurns lets two fetches of one source run, and the others in their order", async () => {
  const fetches = new Fetches();
  const all = ["a", "b", "c", "d"].map((name) => fetches.run("n1:1", name));
  assert.deepEqual(fetches.started, ["a", "b"]);
  fetches.end("b");
  assert.equal(await all[1], "b");
  assert.deepEqual(fetches.started, ["a", "b", "c"]);
  fetches.end("a");
  await all[0];
  assert.deepEqual(fetches.started, ["a", "b", "c", "d"]);
  fetches.end("c");
  fetches.end("d");
  await Promise.all(all);
});

Deno.test("FetchTurns gives the turn of a fetch that failed to the next one", async () => {
  const fetches = new Fetches();
  const all = ["a", "b", "c"].map((name) => fetches.run("n1:1", name));
  fetches.fail("a");
  await assert.rejects(all[0]!, /a failed/);
  assert.deepEqual(fetches.started, ["a", "b", "c"]);
  fetches.end("b");
  fetches.end("c");
  await Promise.all(all.slice(1));
  const again = ["d", "e"].map((name) => fetches.run("n1:1", name));
  assert.deepEqual(fetches.started.slice(3), ["d", "e"], "Both turns are free again");
  fetches.end("d");
  fetches.end("e");
  await Promise.all(again);
});

Deno.test("FetchTurns does not let one source delay another", () => {
  const fetches = new Fetches();
  for (const name of ["a", "b", "c"]) fetches.run("n1:1", name);
  fetches.run("n2:1", "other");
  assert.deepEqual(fetches.started, ["a", "b", "other"]);
});
