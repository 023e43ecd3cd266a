// deno task sim:mutants: plants each deliberate bug in a copy of the tree and counts the seeds until the
// simulator finds it.

import { exitUsage, flagsOrExit, type Usage } from "../flags.ts";
import { type Mutant, MUTANTS } from "./mutants.ts";

const USAGE: Usage = {
  task: "sim:mutants",
  summary:
    "Plants known bugs in a copy of the tree, one at a time, and counts the seeds until each is found.",
  flags: {
    "--seeds": { value: "N", help: "give up after N seeds (2000)" },
    "--only": { value: "TEXT", help: "mutants whose name contains TEXT" },
    "--list": { value: "", help: "their names, and run nothing" },
    "--write": { value: "", help: "put the results into the table of docs/testing.md" },
  },
  exitCodes:
    "Exit codes: 0 all were found; 1 some were not; 2 wrong flags, or a mutant's text is not in " +
    "the tree.",
};

const ROOT = new URL("../../", import.meta.url).pathname;
const COPIED = [
  "src",
  "storage",
  "roles",
  "tests/flags.ts",
  "tests/sim",
  "deno.json",
  "deno.lock",
];

const TABLE_HEAD = "| mutant | seeds | found by |";
/** The same as the formatter leaves it. */
const TABLE_START = /^\| mutant +\| seeds +\| found by +\|$/m;

interface Outcome {
  readonly seeds: number;
  readonly found: boolean;
  readonly by: string;
}

async function run(command: string, args: string[], cwd: string): Promise<string> {
  const output = await new Deno.Command(command, { args, cwd, stdout: "piped", stderr: "piped" })
    .output();
  const decoder = new TextDecoder();
  return decoder.decode(output.stdout) + decoder.decode(output.stderr);
}

async function copyTree(to: string): Promise<void> {
  for (const path of COPIED) {
    const parent = path.includes("/") ? `${to}/${path.slice(0, path.lastIndexOf("/"))}` : to;
    Deno.mkdirSync(parent, { recursive: true });
    await run("cp", ["-r", `${ROOT}${path}`, parent], ROOT);
  }
  Deno.symlinkSync(`${ROOT}node_modules`, `${to}/node_modules`);
}

/** Names of mutants whose text is not in the tree any more. */
function outOfDate(): string[] {
  return MUTANTS.filter(({ file, edits }) => {
    const text = Deno.readTextFileSync(`${ROOT}${file}`);
    return !edits.every(([from]) => text.includes(from));
  }).map(({ name }) => name);
}

async function tryMutant(mutant: Mutant, dir: string, seeds: number): Promise<Outcome> {
  const path = `${dir}/${mutant.file}`;
  const original = Deno.readTextFileSync(path);
  let changed = original;
  for (const [from, to] of mutant.edits) changed = changed.replace(from, () => to);
  Deno.writeTextFileSync(path, changed);
  const permissions = ["--no-prompt", "--no-check", "--allow-read", "--allow-env", "--allow-ffi"];
  const whole = mutant.whole === true ? ["--whole"] : [];
  const limits = ["--jobs", "1", "--shrink", "0", "--seeds", String(seeds)];
  const what = ["run", ...permissions, "tests/sim/main.ts", ...limits, ...whole];
  const output = await run(Deno.execPath(), what, dir);
  Deno.writeTextFileSync(path, original);
  const summary = /^(\d+) seeds, .* (\d+) failed$/m.exec(output);
  if (summary === null) throw new Error(`"${mutant.name}" did not run: ${output.slice(-2000)}`);
  const by = /^seed \S+: (\S+) at event/m.exec(output)?.[1] ?? "";
  return { seeds: Number(summary[1]), found: summary[2] !== "0", by };
}

/** Puts results into the table; rows of mutants that were not tried stay. */
function writeTable(results: ReadonlyMap<string, Outcome>): void {
  const path = `${ROOT}docs/testing.md`;
  const text = Deno.readTextFileSync(path);
  const start = text.search(TABLE_START);
  const end = text.indexOf("\n\n", start);
  const old = new Map<string, string>();
  for (const line of text.slice(start, end).split("\n").slice(2)) {
    old.set(line.split("|")[1]!.trim(), line);
  }
  const rows = MUTANTS.map(({ name }) => {
    const result = results.get(name);
    if (result === undefined) return old.get(name) ?? `| ${name} | not tried | |`;
    const { found, seeds, by } = result;
    return `| ${name} | ${found ? seeds : "not found"} | ${found ? by : ""} |`;
  });
  const table = [TABLE_HEAD, "| --- | --- | --- |", ...rows].join("\n");
  Deno.writeTextFileSync(path, text.slice(0, start) + table + text.slice(end));
}

async function main(): Promise<void> {
  const { flags } = flagsOrExit(USAGE);
  const seeds = Number(flags.get("--seeds") ?? 2000);
  const only = flags.get("--only") ?? "";
  const chosen = MUTANTS.filter(({ name }) => name.includes(only));
  if (chosen.length === 0) exitUsage(USAGE, `No mutant's name contains "${only}"`);
  if (flags.has("--list")) {
    for (const { name } of chosen) console.log(name);
    return;
  }
  const dir = Deno.makeTempDirSync({ prefix: "mutants_" });
  const old = outOfDate();
  if (old.length > 0) {
    console.error(`Out of date, their text is not in the tree: ${old.join("; ")}`);
    Deno.exit(2);
  }
  const results = new Map<string, Outcome>();
  let missed = 0;
  try {
    await copyTree(dir);
    for (const mutant of chosen) {
      const { found, seeds: used, by } = await tryMutant(mutant, dir, seeds);
      if (!found) missed++;
      const text = found ? `found by ${by} after ${used} seeds` : `NOT FOUND in ${used} seeds`;
      console.log(`${mutant.name.padEnd(62)} ${text}`);
      results.set(mutant.name, { found, seeds: used, by });
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
  if (flags.has("--write")) writeTable(results);
  Deno.exit(missed === 0 ? 0 : 1);
}

await main();
