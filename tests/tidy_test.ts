// House rules over the whole tree (tidy_rules.ts), so that reviews talk about design. Every rule is also
// shown a sample that breaks it: a rule that cannot fail guards nothing.

import assert from "node:assert/strict";
import { generatedPages } from "../roles/docs.ts";
import {
  checkAnchors,
  checkExports,
  checkFloors,
  checkLibraries,
  checkLinks,
  checkMarkers,
  checkPurity,
  checkSections,
  checkSize,
  importsOf,
  maskText,
  type Source,
} from "./tidy_rules.ts";

const ROOT = new URL("..", import.meta.url);
const SOURCES = readTree(["src", "roles", "storage", "tests"], ".ts");
const PAGES = [...readTree(["docs"], ".md"), read("README.md")];

function readTree(folders: readonly string[], ending: string): Source[] {
  const found: Source[] = [];
  for (const folder of folders) {
    for (const entry of Deno.readDirSync(new URL(folder, ROOT))) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) found.push(...readTree([path], ending));
      else if (path.endsWith(ending)) found.push(read(path));
    }
  }
  return found;
}

function read(path: string): Source {
  return { path, text: Deno.readTextFileSync(new URL(path, ROOT)) };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, ROOT)) !== undefined;
  } catch {
    return false;
  }
}

function assertNone(problems: readonly string[]): void {
  assert.equal(problems.length, 0, `\n${problems.join("\n")}`);
}

Deno.test("tidy: imports point down", () => {
  assertNone(SOURCES.flatMap(checkFloors));
});

Deno.test("tidy: floors 0 to 2 are pure", () => {
  assertNone(SOURCES.flatMap(checkPurity));
});

Deno.test("tidy: one file imports a library", () => {
  assertNone(checkLibraries(SOURCES));
});

Deno.test("tidy: what is exported is used elsewhere", () => {
  assertNone(checkExports(SOURCES));
});

Deno.test("tidy: files and functions are short and open with a comment", () => {
  assertNone(SOURCES.flatMap(checkSize));
});

Deno.test("tidy: no leftover markers and no skipped tests", () => {
  assertNone(SOURCES.filter(({ path }) => !path.startsWith("tests/tidy_")).flatMap(checkMarkers));
});

Deno.test("tidy: links and named pages exist", () => {
  const named = [...SOURCES, ...PAGES].filter(({ path }) => !path.startsWith("tests/tidy_"));
  assertNone(named.flatMap((page) => checkLinks(page, exists)));
  const textOf = (path: string) => PAGES.find((page) => page.path === path)?.text ?? "";
  assertNone(PAGES.flatMap((page) => checkAnchors(page, textOf)));
  assertNone(named.flatMap((page) => checkSections(page, textOf)));
});

Deno.test("tidy: generated pages are fresh", () => {
  for (const [path, text] of generatedPages()) {
    assert.equal(
      exists(path) ? read(path).text : "",
      text,
      `${path} is stale: run "deno task docs"`,
    );
  }
});

Deno.test("tidy: every rule complains about a sample that breaks it", () => {
  const at = (path: string, text: string): Source => ({ path, text });
  const long = (head: string, lines: number) => `${head}\n${"  x();\n".repeat(lines)}}\n`;
  assert.match(
    checkFloors(at("src/base/a.ts", 'import { x } from "../rpc/b.ts";'))[0]!,
    /not below/,
  );
  assert.match(
    checkFloors(at("src/rpc/a.ts", 'export * from "../coordination/b.ts";'))[0]!,
    /not below/,
  );
  assert.match(checkFloors(at("storage/a.ts", 'await import("../tests/b.ts");'))[0]!, /not below/);
  assert.deepEqual(checkFloors(at("storage/a.ts", 'import x from "../src/base/b.ts";')), []);
  assert.equal(checkPurity(at("src/replication/a.ts", "const t = Date.now();")).length, 1);
  assert.equal(checkPurity(at("src/placement/a.ts", 'import { x } from "node:fs";')).length, 1);
  assert.equal(checkPurity(at("src/schema/a.ts", "let x: Promise<void>; await x;")).length, 2);
  assert.deepEqual(checkPurity(at("src/schema/a.ts", '// Date\nconst a = "await"; /async/;')), []);
  assert.deepEqual(checkPurity(at("roles/a.ts", "Deno.exit();")), []);
  const twice = [at("src/a/a.ts", 'import "lib";'), at("roles/b.ts", 'import x from "lib";')];
  assert.equal(checkLibraries(twice).length, 1);
  const lonely = [at("a.ts", "export const own = 1;\nexport type T = 1;"), at("b.ts", "// owner")];
  assert.match(checkExports(lonely)[0]!, /"own"/);
  assert.equal(checkExports(lonely).length, 1);
  assert.deepEqual(checkExports([lonely[0]!, at("b.ts", 'import { own } from "./a.ts";')]), []);
  assert.equal(checkSize(at("a.ts", "// x\n".repeat(401))).length, 1);
  assert.equal(checkSize(at("a.ts", "const x = 1;\n")).length, 1);
  for (
    const head of ["function f() {", "export async function f(a: A): B {", "const f = () => {"]
  ) {
    assert.equal(checkSize(at("a.ts", "// x\n" + long(head, 69))).length, 1, head);
    assert.equal(checkSize(at("a.ts", "// x\n" + long(head, 68))).length, 0, head);
  }
  const method = `// x\nclass A {\n  async m(\n    a: A,\n  ): B {\n${
    "    x();\n".repeat(67)
  }  }\n}\n`;
  assert.equal(checkSize(at("a.ts", method)).length, 1);
  assert.equal(checkMarkers(at("a.ts", "// TODO later")).length, 1);
  assert.equal(checkMarkers(at("a.ts", `Deno.test.${"ignore"}("x", f);`)).length, 1);
  assert.equal(checkMarkers(at("a.ts", "Deno.test({ only: true });")).length, 1);
  assert.equal(checkLinks(at("docs/a.md", "[b](b.md#x)"), () => false).length, 1);
  const linked = at("docs/a.md", "# §4 B, c\n[b](b.md#x) [a](#4-b-c)");
  assert.equal(checkAnchors(linked, () => "## X").length, 0);
  assert.equal(checkAnchors(linked, () => "## Y").length, 1);
  const citing = at("src/a.ts", '// Rules: docs/a.md, "Aa and\n// bb" and "Cccc".');
  assert.equal(checkSections(citing, () => "## §1 Aa and bb\n**Cccc.** D").length, 0);
  assert.equal(checkSections(citing, () => "## Aa\n### bb").length, 2);
  assert.equal(
    checkLinks(at("src/a.ts", "// docs/c.md"), (path) => path !== "docs/c.md").length,
    1,
  );
});

Deno.test("importsOf() and maskText() read what sources look like", () => {
  const text = 'import {\n  a,\n} from "./a.ts";\nimport type { B } from "b";\nimport "c";\n' +
    'export { d } from "./d.ts";\nconst e = "from \\"x\\"";\n';
  assert.deepEqual(importsOf({ path: "x.ts", text }), ["./a.ts", "b", "c", "./d.ts"]);
  assert.equal(
    maskText('a("Date") // Date\n`x`, /["Date]/.test(b)').trim(),
    "a(      )        \n   ,          .test(b)",
  );
});
