// The files of `deno task compile` and `deno task package`, used as somebody does who has nothing but that file: from an empty
// directory, with no Deno, no Node.js and no packages in reach. The runtime it is made of comes from
// DENORT_BIN, from the program that DENORT_STUB names, which prints the path of one for Deno 2.4.2, or from Deno's
// download host; where none of them gives one, the test says so and checks that the task does too.

import assert from "node:assert/strict";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const STUB_SCRIPT = Deno.env.get("DENORT_STUB") ?? `${ROOT}/../shared/bin/denort-stub`;
const STUB_DENO = ["npx", "-y", "deno@2.4.2"];

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(
  words: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; clearEnv?: boolean } = {},
): Promise<Said> {
  const [command, ...args] = words;
  const child = new Deno.Command(command!, { args, ...options });
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** The Deno that compiles, and the runtime it puts into the executable, if one is at hand. */
async function compiler(): Promise<{ deno: string[]; env: Record<string, string> }> {
  const quiet = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  if (Deno.env.has("DENORT_BIN")) return { deno: [Deno.execPath()], env: quiet };
  const stub = await run(["sh", "-c", `test -x "$0" && "$0"`, STUB_SCRIPT]);
  if (stub.code !== 0) return { deno: [Deno.execPath()], env: quiet };
  return { deno: STUB_DENO, env: { ...quiet, DENORT_BIN: stub.out.trim() } };
}

/** Copies the sources, for packages are laid out differently by each version of Deno, and runs a task there. */
async function build(
  dir: string,
  task: string,
  deno: readonly string[],
  env: Record<string, string>,
): Promise<Said> {
  const parts = ["deno.json", "deno.lock", "roles", "src", "storage"];
  const copied = await run(["cp", "-r", ...parts.map((part) => `${ROOT}/${part}`), dir]);
  assert.equal(copied.code, 0, copied.err);
  const installed = await run([Deno.execPath(), "install", "--quiet", "--frozen"], {
    cwd: dir,
    env,
  });
  assert.equal(installed.code, 0, installed.err);
  return await run([...deno, "task", task], { cwd: dir, env });
}

interface Places {
  readonly dir: string;
  readonly build: string;
  readonly bin: string;
  readonly empty: string;
  readonly tmp: string;
}

function makePlaces(): Places {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-compiled-" }));
  const made = { build: "", bin: "", empty: "", tmp: "" };
  for (const name of ["build", "bin", "empty", "tmp"] as const) {
    made[name] = `${dir}/${name}`;
    Deno.mkdirSync(made[name]);
  }
  return { dir, ...made };
}

/** Uses what was built, away from where it was built, with only `tools` in PATH. */
async function tryOut(places: Places, tools: readonly string[]): Promise<void> {
  const { dir, bin, empty, tmp } = places;
  const executable = `${dir}/pegasus`;
  Deno.renameSync(`${places.build}/dist/pegasus`, executable);
  Deno.removeSync(places.build, { recursive: true });
  for (const tool of tools) {
    const path = (await run(["sh", "-c", `command -v ${tool}`])).out.trim();
    Deno.symlinkSync(path, `${bin}/${tool}`);
  }
  const env = { PATH: bin, HOME: empty, TMPDIR: tmp, NO_COLOR: "1" };
  const pegasus = (...args: string[]) =>
    run([executable, ...args], { cwd: empty, env, clearEnv: true });
  try {
    await useCluster(pegasus);
  } finally {
    await pegasus("onebox", "stop");
  }
  assert.deepEqual([...Deno.readDirSync(tmp)], [], "something extracted was left behind");
  Deno.removeSync(dir, { recursive: true });
}

Deno.test("the compiled executable runs every role with nothing beside it", async () => {
  const places = makePlaces();
  const { deno, env } = await compiler();
  const compiled = await build(places.build, "compile", deno, env);
  if (compiled.code !== 0) {
    assert.match(compiled.err, /There is no runtime stub for/);
    console.warn("NOT TESTED: no runtime stub is in reach, so nothing could be compiled");
    Deno.removeSync(places.dir, { recursive: true });
    return;
  }
  // The onebox looks at its processes with this one.
  await tryOut(places, ["cat"]);
});

Deno.test("the self-extracting file runs every role with nothing beside it", async () => {
  const places = makePlaces();
  const env = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  const packed = await build(places.build, "package", [Deno.execPath()], env);
  assert.equal(packed.code, 0, packed.err);
  const unpackers = ["readlink", "mkdir", "tail", "tar", "gzip", "mv", "rm"];
  await tryOut(places, ["cat", ...unpackers]);
});

async function useCluster(pegasus: (...args: string[]) => Promise<Said>): Promise<void> {
  const done = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await pegasus(...args);
    assert.equal(code, 0, `${args.join(" ")}: ${out}${err}`);
    return out;
  };
  assert.match(await done("--version"), /^pegasus \d+\.\d+\.\d+ /);
  const started = await done(...[
    "onebox",
    "start",
    "--detach",
    "--port-base",
    "0",
    "--shards",
    "2",
  ]);
  const meta = /meta (127\.0\.0\.1:\d+)/.exec(started)?.[1];
  assert(meta !== undefined, started);
  const shell = (commands: string) => done("shell", "--meta", meta, "-e", commands);
  assert.match(await shell("use temp; set h s v; get h s"), /^"v"$/m);
  assert.match(await shell("nodes -d"), /\b2\b/);
  const bench = ["--meta", meta, "--table", "temp", "--records", "50", "--operations", "100"];
  assert.match(await done("bench", ...bench), /100 in [\d.]+ s, 0 errors/);
  await done("onebox", "kill", "2");
  assert.equal((await pegasus("onebox", "status")).code, 1);
  assert.match(await shell("use temp; set h s2 w; get h s2"), /^"w"$/m);
  assert.match(await done("onebox", "stop"), /^Stopped m1, r1, r3$/m);
}
