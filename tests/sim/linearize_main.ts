// deno task linearize FILE...: judges recorded histories (docs/testing.md, "Histories").

import { exitUsage, flagsOrExit, type Usage } from "../flags.ts";
import { HistoryError, parseHistory } from "./history.ts";
import { type Finding, judge, type Judgement, MEMO_MAX } from "./judge.ts";
import type { Operation } from "./linearizability.ts";

const USAGE: Usage = {
  task: "linearize",
  summary:
    "Judges recorded client histories: is there an order of the operations that explains every answer?",
  flags: {
    "--json": { value: "", help: "one JSON object per file" },
    "--memo": {
      value: "N",
      help: `states of one object to remember before "undecided" (${MEMO_MAX})`,
    },
  },
  rest: "FILE|DIRECTORY...",
  exitCodes:
    "Exit codes: 0 all are linearizable; 1 a violation; 2 wrong flags or a file that is no history; " +
    "3 undecided.",
};

function main(): number {
  const { flags, rest: paths } = flagsOrExit(USAGE);
  const asJson = flags.has("--json");
  const memoMax = Number(flags.get("--memo") ?? MEMO_MAX);
  if (paths.length === 0) exitUsage(USAGE, "No file named");
  let code = 0;
  for (const path of paths.flatMap(filesOf)) {
    let judgement: Judgement;
    try {
      judgement = judge(parseHistory(Deno.readTextFileSync(path)), memoMax);
    } catch (error) {
      if (!(error instanceof HistoryError || error instanceof Deno.errors.NotFound)) throw error;
      console.error(`${path}: ${error.message}`);
      code = 2;
      continue;
    }
    if (asJson) console.log(JSON.stringify({ path, ...judgement }));
    else print(path, judgement);
    if (code === 2) continue;
    const verdicts = judgement.findings.map(({ verdict }) => verdict);
    if (verdicts.includes("violation")) code = 1;
    else if (verdicts.length > 0 && code === 0) code = 3;
  }
  return code;
}

/** A directory stands for its .jsonl files. */
function filesOf(path: string): string[] {
  try {
    if (!Deno.statSync(path).isDirectory) return [path];
  } catch {
    return [path];
  }
  return [...Deno.readDirSync(path)].map(({ name }) => name)
    .filter((name) => name.endsWith(".jsonl")).sort().map((name) => `${path}/${name}`);
}

function print(path: string, { objects, operations, findings, ...counts }: Judgement): void {
  const { ok, notDone, unknown } = counts;
  const verdict = findings.length === 0 ? "linearizable" : "NOT PROVEN LINEARIZABLE";
  console.log(
    `${path}: ${verdict}; ${objects} objects, ${operations} operations ` +
      `(${ok} ok, ${notDone} not done, ${unknown} unknown)`,
  );
  for (const finding of findings) for (const line of describe(finding)) console.log(`  ${line}`);
}

function describe({ object, verdict, operations, culprit, context }: Finding): string[] {
  if (culprit === undefined) {
    return [`"${object}": ${verdict} after ${operations} operations; try a larger --memo`];
  }
  const lines = context.map((operation) =>
    `${operation === culprit ? "=>" : "  "} ${describeOperation(operation)}`
  );
  return [`"${object}": ${verdict}; no order explains the answer marked =>`, ...lines];
}

function describeOperation({ client, op, invoke, return: end, result }: Operation): string {
  const { kind, ...args } = op;
  const span = result === undefined ? `${invoke}..` : `${invoke}..${end}`;
  return `[${span}] client ${client} ${kind} ${JSON.stringify(args)} -> ${result ?? "unknown"}`;
}

if (import.meta.main) Deno.exit(main());
