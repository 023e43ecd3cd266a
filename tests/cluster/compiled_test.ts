// The executable of `deno task compile`, used as somebody does who has nothing but that file: from an empty
// directory, with no Deno, no Node.js and no packages in reach. The runtime it is made of comes from
// DENORT_BIN, from ../shared/bin/denort-stub (for Deno 2.4.2), or from Deno's download host; where none of
// them gives one, the test says so and checks that the task does too.

import assert from "node:assert/strict";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const STUB_SCRIPT = `${ROOT}/../shared/bin/denort-stub`;
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

/** Compiles a copy of the sources: packages are laid out differently by each version of Deno. */
async function compileInto(dir: string): Promise<Said> {
  const parts = ["deno.json", "deno.lock", "roles", "src", "storage"];
  const copied = await run(["cp", "-r", ...parts.map((part) => `${ROOT}/${part}`), dir]);
  assert.equal(copied.code, 0, copied.err);
  const { deno, env } = await compiler();
  const installed = await run([Deno.execPath(), "install", "--quiet", "--frozen"], {
    cwd: dir,
    env,
  });
  assert.equal(installed.code, 0, installed.err);
  return await run([...deno, "task", "compile"], { cwd: dir, env });
}

Deno.test("the compiled executable runs every role with nothing beside it", async () => {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-compiled-" }));
  const [build, bin, empty, tmp] = ["build", "bin", "empty", "tmp"].map((name) => {
    Deno.mkdirSync(`${dir}/${name}`);
    return `${dir}/${name}`;
  }) as [string, string, string, string];
  const compiled = await compileInto(build);
  if (compiled.code !== 0) {
    assert.match(compiled.err, /There is no runtime stub for/);
    console.warn("NOT TESTED: no runtime stub is in reach, so nothing could be compiled");
    Deno.removeSync(dir, { recursive: true });
    return;
  }
  const executable = `${dir}/pegasus`;
  Deno.renameSync(`${build}/dist/pegasus`, executable);
  Deno.removeSync(build, { recursive: true });
  // The onebox looks at its processes with this one.
  Deno.symlinkSync((await run(["sh", "-c", "command -v cat"])).out.trim(), `${bin}/cat`);
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
});

async function useCluster(pegasus: (...args: string[]) => Promise<Said>): Promise<void> {
  const done = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await pegasus(...args);
    assert.equal(code, 0, `${args.join(" ")}: ${out}${err}`);
    return out;
  };
  assert.match(await done("--version"), /^pegasus \d+\.\d+\.\d+ /);
  const started = await done("onebox", "start", "--detach", "--port-base", "0");
  const meta = /meta (127\.0\.0\.1:\d+)/.exec(started)?.[1];
  assert(meta !== undefined, started);
  const shell = (commands: string) => done("shell", "--meta", meta, "-e", commands);
  assert.match(await shell("use temp; set h s v; get h s"), /^"v"$/m);
  const bench = ["--meta", meta, "--table", "temp", "--records", "50", "--operations", "100"];
  assert.match(await done("bench", ...bench), /100 in [\d.]+ s, 0 errors/);
  await done("onebox", "kill", "2");
  assert.equal((await pegasus("onebox", "status")).code, 1);
  assert.match(await shell("use temp; set h s2 w; get h s2"), /^"w"$/m);
  assert.match(await done("onebox", "stop"), /^Stopped m1, r1, r3$/m);
}
