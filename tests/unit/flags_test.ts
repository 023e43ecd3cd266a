// The flags of the simulator's tasks, and how a failing run is made smaller.

import assert from "node:assert/strict";
import { Chance } from "../sim/chance.ts";
import { helpOf, parseFlags, type Usage, UsageError } from "../flags.ts";
import { type Bend, bend, bendFlags, shrink, UNBENT } from "../sim/shrink.ts";
import { drawSwarm } from "../sim/swarm.ts";

const USAGE: Usage = {
  task: "x",
  summary: "Does something.",
  flags: {
    "--count": { value: "N", help: "how many" },
    "--ratio": { value: "M", help: "how much" },
    "--fast": { value: "", help: "no rest" },
  },
  exitCodes: "Exit codes: 0.",
};

Deno.test("parseFlags takes what is declared and refuses everything else", () => {
  const { flags } = parseFlags(USAGE, ["--count=3", "--ratio", "0.5", "--fast"]);
  assert.deepEqual([...flags], [["--count", "3"], ["--ratio", "0.5"], ["--fast", ""]]);
  assert.deepEqual(parseFlags({ ...USAGE, rest: "FILE..." }, ["a", "--fast", "b"]).rest, [
    "a",
    "b",
  ]);
  const refused: [string[], RegExp][] = [
    [["--cuont", "3"], /Unknown flag "--cuont"; did you mean "--count"/],
    [["--toString"], /Unknown flag/],
    [["--count"], /--count needs a value: --count N/],
    [["--count", "--fast"], /--count needs a value/],
    [["--count", "1.5"], /whole number above 0, not "1.5"/],
    [["--count", "-1"], /whole number above 0, not "-1"/],
    [["--ratio", "x"], /number above 0, not "x"/],
    [["--fast", "--fast"], /there twice/],
    [["file"], /Unexpected argument "file"/],
  ];
  for (const [args, message] of refused) {
    assert.throws(() => parseFlags(USAGE, args), (error) => {
      return error instanceof UsageError && message.test(error.message);
    }, args.join(" "));
  }
  for (const flag of Object.keys(USAGE.flags)) assert.ok(helpOf(USAGE).includes(flag));
});

Deno.test("shrink keeps only what a failure needs, and prints it as flags", async () => {
  const drawn = drawSwarm(new Chance("shrink"));
  const faults = { ...drawn.faults, crashMs: 500, cutMs: 700, rotMs: 900 };
  const swarm = { ...drawn, faults, load: { ...drawn.load, clients: 5 }, eventsMax: 8000 };
  // It fails while servers crash, with two clients or more, and in the first thousand events.
  const attempt = (tried: Bend) => {
    const bent = bend(swarm, tried);
    const fails = bent.faults.crashMs > 0 && bent.load.clients >= 2 && bent.eventsMax >= 1000;
    return Promise.resolve(fails ? 1000 : undefined);
  };
  const found = await shrink(swarm, UNBENT, attempt, () => false);
  const bent = bend(swarm, found);
  const on = Object.entries(bent.faults).filter(([, ms]) => ms > 0).map(([kind]) => kind);
  assert.deepEqual(on, ["crashMs"]);
  assert.deepEqual([bent.load.clients, bent.eventsMax, bent.network.drop], [2, 1000, 0]);
  assert.match(bendFlags(found), /^ --without \S*cutMs\S*,network --clients 2 --events 1000$/);
  // Without time it is what it was.
  assert.deepEqual(await shrink(swarm, UNBENT, attempt, () => true), UNBENT);
  assert.equal(bendFlags(UNBENT), "");
});
