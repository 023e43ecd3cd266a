// The pages say which test holds which rule: what they name must be there.

import assert from "node:assert/strict";
import { MUTANTS } from "../../sim/mutants.ts";

const ROOT = new URL("../../../", import.meta.url);

/** The table rows of a page from a heading to the next one of the same level. */
function section(page: string, heading: string): string {
  const text = Deno.readTextFileSync(new URL(`docs/${page}`, ROOT));
  const start = text.indexOf(`\n${heading}`);
  assert.ok(start >= 0, `${page} has no "${heading}"`);
  const level = heading.slice(0, heading.indexOf(" ") + 1);
  const end = text.indexOf(`\n${level}`, start + 1);
  const part = text.slice(start, end < 0 ? undefined : end);
  return part.split("\n").filter((line) => line.startsWith("|")).join("\n");
}

function filesBelow(path: string): string[] {
  return [...Deno.readDirSync(new URL(path, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(`${path}${name}/`) : [`${path}${name}`]
  );
}

Deno.test("The pages name tests, scenarios and mutants that are there", () => {
  const paths = filesBelow("tests/");
  const tests = paths.filter((path) => path.endsWith("_test.ts"))
    .map((path) => Deno.readTextFileSync(new URL(path, ROOT))).join("\n");
  const named = section("testing.md", "## Traps of replication") +
    section("protocol.md", "### §18 What fails without a rule");
  for (const [, name] of named.matchAll(/"([A-Z][^"]+)"/g)) {
    assert.ok(tests.includes(`("${name}`), `No test begins with "${name}"`);
  }
  for (const [, file] of named.matchAll(/`(\w+_test\.ts)`/g)) {
    assert.ok(paths.some((path) => path.endsWith(`/${file}`)), `No test file ${file}`);
  }
  for (const [number] of named.matchAll(/(?<![\w.§-])[0-6]\d{2}(?!\w)/g)) {
    const found = paths.some((path) => path.startsWith(`tests/scenario/${number}_`));
    assert.ok(found, `No scenario ${number}`);
  }
  for (const [mutant] of named.matchAll(/\bM\d+\b/g)) {
    assert.ok(MUTANTS.some(({ name }) => name.startsWith(`${mutant} `)), `No mutant ${mutant}`);
  }
});

Deno.test("Code names rules of protocol.md that are there", () => {
  const text = Deno.readTextFileSync(new URL("docs/protocol.md", ROOT));
  /** Rules by paragraph: how many are numbered. */
  const rules = new Map<number, number>();
  for (const part of text.split("\n### §").slice(1)) {
    const numbers = [...part.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    assert.deepEqual(numbers, numbers.map((_, i) => i + 1), `§${part.slice(0, 20)} is numbered`);
    rules.set(parseInt(part), numbers.length);
  }
  const invariants = new Set([...text.matchAll(/^\| (I\d+) /gm)].map(([, name]) => name));
  let count = 0;
  for (const folder of ["src/replication/", "roles/replica/", "storage/"]) {
    for (const path of filesBelow(folder).filter((name) => name.endsWith(".ts"))) {
      const code = Deno.readTextFileSync(new URL(path, ROOT));
      for (const [reference, paragraph, rule] of code.matchAll(/§(\d+)(?:\.(\d+))?/g)) {
        const known = rules.get(Number(paragraph));
        const isThere = known !== undefined && (rule === undefined || Number(rule) <= known);
        assert.ok(isThere, `${path} names ${reference}, which protocol.md does not have`);
        count++;
      }
      for (const [, name] of code.matchAll(/\b(I(?:10|[1-9]))\b/g)) {
        assert.ok(invariants.has(name!), `${path} names ${name}`);
      }
    }
  }
  assert.ok(count > 50, `${count} references`);
});
