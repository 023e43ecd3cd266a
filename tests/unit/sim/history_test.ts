// Histories as text: what is written is read back, what is malformed is refused with its line, and the
// judge names the answer that nothing explains.

import assert from "node:assert/strict";
import {
  formatHeader,
  formatHistoryEntry,
  type HistoryEntry,
  HistoryError,
  parseHistory,
} from "../../sim/history.ts";
import { judge } from "../../sim/judge.ts";
import type { ModelOp } from "../../sim/linearizability.ts";
import { runSeed } from "../../sim/world.ts";

const CLI = new URL("../../sim/linearize_main.ts", import.meta.url).pathname;

const put = (value: string): ModelOp => ({ kind: "put", rows: [["k", value]] });
const get: ModelOp = { kind: "get", key: "k" };

function entry(
  invoke: number,
  end: number,
  op: ModelOp,
  result: string | undefined,
  outcome: HistoryEntry["outcome"] = result === undefined ? "unknown" : "ok",
): HistoryEntry {
  return { client: "c", object: "o", op, invoke, return: end, outcome, result };
}

const STALE = [
  entry(0, 1, put("a"), "ok"),
  entry(2, 3, put("b"), "ok"),
  entry(4, 5, get, "=b"),
  entry(6, 7, get, "=a"),
  entry(8, 9, get, "=b"),
];

function textOf(entries: readonly HistoryEntry[]): string {
  return [formatHeader("test"), ...entries.map(formatHistoryEntry)].join("\n") + "\n";
}

Deno.test("formatHistoryEntry() and parseHistory() keep every operation and answer", () => {
  const entries = [
    entry(0, 1, get, "-"),
    entry(0, 1, get, "="),
    entry(1, 2, { kind: "mget", keys: ["k", "l"] }, JSON.stringify(["=x", "-"])),
    entry(1, 2, { kind: "put", rows: [["k", "1"], ["l", "2"]] }, "ok"),
    entry(1.25, 2.5, { kind: "remove", key: "k" }, "ok"),
    entry(1, 2, { kind: "cas", key: "k", expected: undefined, value: "v" }, "passed"),
    entry(1, 2, { kind: "cas", key: "k", expected: "a", value: "v" }, "failed =b"),
    entry(1, 2, { kind: "cas", key: "k", expected: "a", value: "v" }, "failed -"),
    entry(1, 2, { kind: "incr", key: "n", by: -2 }, "-2"),
    entry(1, Infinity, put("x"), undefined),
    entry(1, Infinity, put("y"), undefined, "not done"),
  ];
  assert.deepEqual(parseHistory(textOf(entries)), entries);
});

Deno.test("The histories of a simulated run survive the format and are linearizable", async () => {
  const { history } = await runSeed({ seed: "history" });
  const verdict = judge(parseHistory(textOf(history)));
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.operations, history.length);
  assert.ok(verdict.ok > 50);
});

Deno.test("parseHistory() names the line and what it expected there", () => {
  const good = formatHistoryEntry(STALE[0]!);
  const cases: [string, RegExp][] = [
    ["{", /^Line 3: /],
    ["[]", /^Line 3: expected an object/],
    [good.replace('"put"', '"append"'), /op is "append", expected get, mget, put/],
    [good.replace('"client":"c",', ""), /client is undefined/],
    [good.replace('"o"', "7"), /object is 7, expected a text/],
    [good.replace('"ok"', '"maybe"'), /outcome is "maybe", expected "ok"/],
    [good.replace('"return":1', '"return":-1'), /return is -1, before invoke, 0/],
    [good.replace('"invoke":0', '"invoke":"0"'), /invoke is "0", expected a number/],
    [good.replace('[["k","a"]]', "[]"), /rows is \[\], expected a list/],
    ['{"history":2}', /history is 2, expected version 1/],
    [formatHistoryEntry(STALE[2]!).replace('"b"', "1"), /value is 1, expected a text/],
  ];
  for (const [line, message] of cases) {
    assert.throws(
      () => parseHistory(`${good}\n\n${line}\n`),
      (error) => error instanceof HistoryError && message.test(error.message),
      line,
    );
  }
});

Deno.test("judge() finds the first answer that nothing explains", () => {
  const { findings, objects } = judge([
    ...STALE,
    ...STALE.slice(0, 3).map((good) => ({ ...good, object: "well" })),
  ]);
  assert.equal(objects, 2);
  assert.equal(findings.length, 1);
  assert.equal(findings[0]!.object, "o");
  assert.equal(findings[0]!.culprit?.invoke, 6);
  assert.ok(findings[0]!.context.includes(findings[0]!.culprit!));
});

Deno.test("judge() holds a write reported as not done against who saw it", () => {
  const seen = [entry(0, 1, put("a"), undefined, "not done"), entry(2, 3, get, "=a")];
  assert.equal(judge(seen).findings[0]?.verdict, "violation");
  const unseen = [entry(0, 1, put("a"), undefined, "not done"), entry(2, 3, get, "-")];
  assert.deepEqual(judge(unseen).findings, []);
});

Deno.test("judge() sees half of a write through a read of several rows", () => {
  const both = (value: string): ModelOp => ({ kind: "put", rows: [["x", value], ["y", value]] });
  const read: ModelOp = { kind: "mget", keys: ["x", "y"] };
  const half = [
    entry(0, 1, both("1"), "ok"),
    entry(2, 9, both("2"), "ok"),
    entry(3, 4, read, JSON.stringify(["=2", "=1"])),
  ];
  assert.equal(judge(half).findings[0]?.verdict, "violation");
  const whole = [...half.slice(0, 2), entry(3, 4, read, JSON.stringify(["=2", "=2"]))];
  assert.deepEqual(judge(whole).findings, []);
});

Deno.test("deno task linearize tells files that hold, that do not, and that are none apart", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "histories_" });
  try {
    Deno.writeTextFileSync(`${dir}/good.jsonl`, textOf(STALE.slice(0, 3)));
    Deno.writeTextFileSync(`${dir}/bad.jsonl`, textOf(STALE));
    Deno.writeTextFileSync(`${dir}/other.jsonl`, "hello\n");
    const hard = Array.from({ length: 12 }, (_, i) => entry(0, 10, put(`v${i}`), "ok"));
    Deno.writeTextFileSync(
      `${dir}/hard.jsonl`,
      textOf([...hard, entry(11, 12, get, "=none")]),
    );
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", "--no-check", `--allow-read=${dir}`, CLI, ...args],
      }).output();
      const decoder = new TextDecoder();
      return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
    };
    const [good, bad, other, hardOne, all] = await Promise.all([
      run(`${dir}/good.jsonl`),
      run("--json", `${dir}/bad.jsonl`),
      run(`${dir}/other.jsonl`),
      run("--memo", "100", `${dir}/hard.jsonl`),
      run(dir),
    ]);
    assert.equal(good.code, 0, good.err);
    assert.match(good.out, /linearizable; 1 objects, 3 operations \(3 ok/);
    assert.equal(bad.code, 1);
    assert.equal(JSON.parse(bad.out).findings[0].culprit.invoke, 6);
    assert.equal(other.code, 2);
    assert.match(other.err, /other\.jsonl: Line 1/);
    assert.equal(hardOne.code, 3);
    assert.match(hardOne.out, /undecided/);
    assert.equal(all.code, 2);
    assert.match(all.out, /=> \[6\.\.7\] client c get/);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
