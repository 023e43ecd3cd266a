// Every script of this folder is a test: its commands must leave exactly the traces written below them. With
// "-- --update" the traces are written anew; read the difference as you would read code, since each line is a
// claim about docs/protocol.md. docs/testing.md, "Scenario scripts".

import assert from "node:assert/strict";
import { parseScript, writeScript } from "./script.ts";
import { World } from "./world.ts";

const FOLDER = new URL("./", import.meta.url);
const UPDATES = Deno.args.includes("--update");

for (const name of [...Deno.readDirSync(FOLDER)].map((entry) => entry.name).sort()) {
  if (!name.endsWith(".txt")) continue;
  Deno.test(`scenario ${name.slice(0, -4)}`, () => {
    const path = new URL(name, FOLDER);
    const steps = parseScript(Deno.readTextFileSync(path), name);
    const world = new World();
    const actual = steps.map(({ command, expected, line }) => {
      const trace = world.run(command);
      if (!UPDATES) assert.deepEqual(trace, expected, `${name}:${line}: ${command}`);
      return trace;
    });
    if (UPDATES) Deno.writeTextFileSync(path, writeScript(steps, actual));
  });
}

Deno.test("scenario: a wrong expectation and a broken script are found", () => {
  const text = "# A comment.\nform A\n----\nnothing happens\n\nstate\n----\n";
  const steps = parseScript(text, "x.txt");
  assert.deepEqual(steps.map((s) => s.command), ["form A", "state"]);
  assert.equal(writeScript(steps, steps.map((s) => s.expected)), text);
  assert.notDeepEqual(new World().run("form A"), steps[0]!.expected);
  assert.throws(() => parseScript("form A\nstate\n", "x.txt"), /x\.txt:1: expected "----"/);
  assert.throws(() => new World().run("dance A"), /Unknown verb "dance"/);
});
