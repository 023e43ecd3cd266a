// The examples of docs/examples, run as they stand against a real cluster: on Deno from the sources, and on
// Node.js from the package that `deno task npm` makes, installed into an empty project and checked there
// by a TypeScript compiler that sees nothing but the package's own types.

import assert from "node:assert/strict";
import { buildPackage, PACKAGE } from "../../roles/build/npm.ts";
import { withCluster } from "./harness.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const EXAMPLES = `${ROOT}/docs/examples`;

/** What each example prints. */
const EXPECTED: Readonly<Record<string, string>> = {
  counter: "500 views\n",
  leaderboard: "eve 200\nbob 150\nada 120\n",
  lock: "1 of 5 got the lock\nrenewed: true\nthe next holder is number 2\n" +
    "the first one can go on: false\n",
  session_store: "ada has 2 things in the cart\nit ends by itself\nlogged out\n",
  time_series: "60 points around midnight, 20.59 degrees on average\n",
};

async function run(words: readonly string[], cwd: string, env: Record<string, string> = {}) {
  const [command, ...args] = words;
  const { code, stdout, stderr } = await new Deno.Command(command!, { args, cwd, env }).output();
  const decoder = new TextDecoder();
  const out = decoder.decode(stdout);
  assert.equal(code, 0, `${words.join(" ")}\n${out}${decoder.decode(stderr)}`);
  return out;
}

/** An empty project with the package installed and the examples compiled. */
async function nodeProject(dir: string): Promise<void> {
  const archive = await buildPackage(ROOT, `${dir}/dist`);
  const write = (name: string, content: string) =>
    Deno.writeTextFileSync(`${dir}/${name}`, content);
  write("package.json", JSON.stringify({ private: true, type: "module" }));
  const tools = ["typescript@5.9.3", "@types/node@20.19.43"];
  const quiet = ["--silent", "--no-audit", "--no-fund"];
  await run(["npm", "install", ...quiet, archive, ...tools], dir);
  for (const name of Object.keys(EXPECTED)) {
    const source = Deno.readTextFileSync(`${EXAMPLES}/${name}.ts`);
    write(`${name}.ts`, source.replace("../../src/client/mod.ts", PACKAGE));
  }
  const compilerOptions = {
    target: "ES2022",
    module: "NodeNext",
    lib: ["ES2023", "ESNext.Disposable"],
    types: ["node"],
    strict: true,
    noUncheckedIndexedAccess: true,
  };
  write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  await run(["node", "node_modules/typescript/bin/tsc", "-p", "."], dir);
}

/** A Deno project with nothing but the settings that the page shows, and an example in it. @returns The example. */
function denoProject(dir: string): string {
  const page = Deno.readTextFileSync(`${ROOT}/docs/client.md`);
  const settings = /## Deno\n[^]*?```json\n([^]*?)```/.exec(page)![1]!;
  Deno.mkdirSync(`${dir}/deno`);
  Deno.writeTextFileSync(`${dir}/deno/deno.json`, settings.replace("../pegasus", ROOT));
  const source = Deno.readTextFileSync(`${EXAMPLES}/counter.ts`);
  const path = `${dir}/deno/counter.ts`;
  Deno.writeTextFileSync(path, source.replace("../../src/client/mod.ts", PACKAGE));
  return path;
}

Deno.test("the examples run on Deno, and on Node.js from the package", async () => {
  const names = [...Deno.readDirSync(EXAMPLES)].filter(({ name }) => name.endsWith(".ts"))
    .map(({ name }) => name.replace(/\.ts$/, "")).sort();
  assert.deepEqual(names, Object.keys(EXPECTED), "every example is run, and every one exists");
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-examples-" });
  await nodeProject(dir);
  await withCluster({ replicas: 3 }, async (cluster) => {
    const env = { PEGASUS_META: cluster.metas.join(","), NO_COLOR: "1" };
    for (const [name, expected] of Object.entries(EXPECTED)) {
      const deno = [Deno.execPath(), "run", "--no-prompt", "-N", "-E", `${EXAMPLES}/${name}.ts`];
      assert.equal(await run(deno, ROOT, env), expected, `${name} on Deno`);
      assert.equal(await run(["node", `${name}.js`], dir, env), expected, `${name} on Node.js`);
    }
    const own = [Deno.execPath(), "run", "--no-prompt", "-N", "-E", denoProject(dir)];
    assert.equal(
      await run(own, `${dir}/deno`, env),
      EXPECTED["counter"],
      "in a project of its own",
    );
  });
  Deno.removeSync(dir, { recursive: true });
});
