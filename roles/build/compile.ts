// `deno task compile`: the program as one executable, dist/pegasus, with runtime, packages and native
// addon inside. Invariant: what is written under the final name has been started once, if this machine
// can start it at all. How to use the file: docs/operations.md, "Install".

import { type AnySetting, choice, text } from "../../src/config/field.ts";
import { readFlags } from "../../src/config/flags.ts";
import { flagLines } from "../../src/config/help.ts";
import { V8_FLAGS } from "../v8_flags.ts";

/** What can be compiled for, by ELF machine. */
const MACHINES: Readonly<Record<string, number>> = {
  "x86_64-unknown-linux-gnu": 0x3e,
  "aarch64-unknown-linux-gnu": 0xb7,
};

/** What the executable may do. It starts processes in the role "onebox" only, and those are itself. */
export const PERMISSIONS = ["read", "write", "net", "env", "sys", "ffi", "run"].map((name) =>
  `--allow-${name}`
);

/** Deno 2.4 overflows the stack of its own threads while it packs node_modules; 64 MiB is plenty. */
const STACK_BYTES = 64 * 1024 * 1024;

/** Folder of the compiled addon in classic-level, by target. */
const PREBUILDS: Readonly<Record<string, string>> = {
  "x86_64-unknown-linux-gnu": "linux-x64",
  "aarch64-unknown-linux-gnu": "linux-arm64",
};

/** Modules that are started as Workers. */
const WORKERS = ["roles/replica/shard_worker.ts"];

const FLAGS = {
  target: choice(Object.keys(MACHINES), {
    default: Deno.build.target,
    doc: "Machine to compile for; a foreign one needs its stub from DENORT_BIN or Deno's host",
  }),
  output: text({ default: "dist/pegasus", pattern: /./, expected: "a path", doc: "File to write" }),
} as const;

/** Runs a program in `cwd`. @returns Its exit code and what it said. */
async function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<{ code: number; said: string }> {
  const child = new Deno.Command(command, { args: [...args], ...options });
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, said: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Files below `dir` that are no modules of ours, such as pages. Paths from `root`. */
function assetsIn(root: string, dir: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(`${root}/${dir}`)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) found.push(...assetsIn(root, path));
    else if (!entry.name.endsWith(".ts")) found.push(path);
  }
  return found.sort();
}

/** Parts of packages that the program never loads: other machines, sources of addons, test tools. */
export function unusedIn(root: string, target: string): string[] {
  const engine = Deno.realPathSync(`${root}/node_modules/classic-level`);
  const unused = [`${engine}/deps`];
  for (const { name } of Deno.readDirSync(`${engine}/prebuilds`)) {
    if (name !== PREBUILDS[target]) unused.push(`${engine}/prebuilds/${name}`);
  }
  const tools = `${root}/node_modules/fast-check`;
  try {
    unused.push(Deno.realPathSync(tools));
  } catch (error) {
    // Not installed: then it is not packed either.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return unused;
}

/** Whether the program can be compiled for that machine. */
export function isTarget(target: string): boolean {
  return Object.hasOwn(MACHINES, target);
}

/** @throws {Error} If `path` is no runtime for `target`: the result would start nowhere. */
function checkStub(path: string, target: string): void {
  const head = new Uint8Array(20);
  using file = Deno.openSync(path);
  file.readSync(head);
  const isElf = head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
  if (isElf && head[18] === MACHINES[target]) return;
  throw new Error(
    `DENORT_BIN names "${path}", which is no runtime for ${target}: name one for that machine, ` +
      "or unset it so that deno compile downloads it",
  );
}

/**
 * Compiles the program in `root`.
 *
 * @param root Absolute path of the project; its packages must be installed.
 * @param output Absolute path of the executable.
 * @throws {Error} If it cannot be compiled or does not start; with what the compiler said.
 */
export async function compile(root: string, target: string, output: string): Promise<void> {
  const stub = Deno.env.get("DENORT_BIN");
  if (stub !== undefined) checkStub(stub, target);
  Deno.mkdirSync(output.replace(/\/[^/]*$/, ""), { recursive: true });
  const part = `${output}.part`;
  const args = [
    ...["compile", "--no-check", "--no-code-cache", "--no-prompt", "--frozen"],
    ...[V8_FLAGS, ...PERMISSIONS],
    ...["--target", target, "--output", part],
    ...unusedIn(root, target).flatMap((path) => ["--exclude", path]),
    ...assetsIn(root, "roles").flatMap((path) => ["--include", path]),
    // Programs of threads: the compiler does not follow `new Worker`.
    ...WORKERS.flatMap((path) => ["--include", path]),
    "roles/main.ts",
  ];
  const env = { RUST_MIN_STACK: String(STACK_BYTES), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  const { code, said } = await run(Deno.execPath(), args, { cwd: root, env });
  if (code !== 0) throw new Error(`${explain(said, target)}\n${said.trim()}`);
  if (target === Deno.build.target) {
    const started = await run(part, ["--version"]);
    if (started.code !== 0) throw new Error(`The executable does not start:\n${started.said}`);
  }
  Deno.renameSync(part, output);
}

function explain(said: string, target: string): string {
  if (!/denort|dl\.deno\.land/.test(said)) return "Cannot compile; the compiler says:";
  return `There is no runtime stub for ${target}: deno compile takes it from DENORT_BIN, or from Deno's ` +
    'download host, which does not answer; "deno task package" builds one file without it. It says:';
}

async function main(args: readonly string[]): Promise<number> {
  const fields = new Map<string, AnySetting>(Object.entries(FLAGS));
  const { given, words, help, problems } = readFlags(fields, args);
  if (help) {
    console.log(["Usage: deno task compile [flags]", "", ...flagLines([...fields])].join("\n"));
    return 0;
  }
  const target = given.get("target") ?? Deno.build.target;
  const all = [...problems, ...words.map((word) => `Unexpected word "${word}"; see --help`)];
  if (!isTarget(target)) {
    all.push(
      `Bad value of --target: got "${target}", expected ${Object.keys(MACHINES).join(" or ")}`,
    );
  }
  if (all.length > 0) {
    console.error(all.join("\n"));
    return 2;
  }
  const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
  const name = given.get("output") ?? FLAGS.output.default;
  const output = name.startsWith("/") ? name : `${Deno.cwd()}/${name}`;
  try {
    await compile(root, target, output);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
  const mebibytes = (Deno.statSync(output).size / 2 ** 20).toFixed(0);
  console.log(`${output}: ${mebibytes} MiB for ${target}`);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
