// The language of the shell, row files and completion: pure parts.

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { complete } from "../../../roles/shell/complete.ts";
import { COMMANDS } from "../../../roles/shell/commands/all.ts";
import {
  CSV_HEAD,
  type FileRow,
  formatOf,
  readRecords,
  writeRow,
} from "../../../roles/shell/formats.ts";
import { linesOf } from "../../../roles/shell/io.ts";
import {
  formatBytes,
  formatSeconds,
  progressLine,
  renderTable,
} from "../../../roles/shell/render.ts";
import { escapeBytes, parseLine, quote, SyntaxProblem } from "../../../roles/shell/words.ts";

const texts = (line: string) => parseLine(line).map((words) => words.map((word) => word.text));

Deno.test("parseLine splits words, quotes and commands", () => {
  assert.deepEqual(texts("set h s v"), [["set", "h", "s", "v"]]);
  assert.deepEqual(texts("  a ;; b c\nd # comment ; e\nf"), [["a"], ["b", "c"], ["d"], ["f"]]);
  assert.deepEqual(texts(`a 'x y' "p;q" r"s t"u ''`), [["a", "x y", "p;q", "rs tu", ""]]);
  assert.deepEqual(texts("a#b"), [["a#b"]]);
  assert.deepEqual(texts("ключ 键"), [["ключ", "键"]]);
  assert.deepEqual(texts(""), []);
});

Deno.test("parseLine understands escapes and says what is wrong with others", () => {
  assert.deepEqual([...parseLine("\\x00\\xfFa\\n")[0]![0]!.bytes], [0, 255, 97, 10]);
  assert.deepEqual(texts(`"a\\"b" 'a\\'b' \\;`), [['a"b', "a'b", ";"]]);
  for (const bad of ["a\\", "\\q", "\\x4", "'open", '"open']) {
    assert.throws(() => parseLine(bad), SyntaxProblem, bad);
  }
});

Deno.test("quotes make a value of a word if they begin before its =", () => {
  const quoted = (line: string) => parseLine(line)[0]!.map((word) => word.quoted);
  assert.deepEqual(quoted('--a --a="b c" --a=\\x62 --a=b'), [false, false, false, false]);
  assert.deepEqual(quoted('"--a" --"a"=b "--a=b" \\x2d-a=b -\\x3db'), Array(5).fill(true));
});

Deno.test("quote and parseLine are inverse for all bytes", () => {
  fc.assert(fc.property(fc.uint8Array(), fc.boolean(), (bytes, all) => {
    const words = parseLine(quote(bytes, all));
    assert.equal(words.length, 1);
    assert.deepEqual([...words[0]![0]!.bytes], [...bytes]);
  }));
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => {
    assert.equal(parseLine(quote(utf8(text), false))[0]![0]!.text, text);
  }));
});

Deno.test("escapeBytes shows what can be shown", () => {
  assert.equal(escapeBytes(utf8("键 é\t\u0007"), false), "键 é\\t\\x07");
  assert.equal(escapeBytes(utf8("é"), true), "\\xc3\\xa9");
  assert.equal(escapeBytes(Uint8Array.of(0xc3, 0x41, 0xff), false), "\\xc3A\\xff");
  // A zero-width character would be invisible.
  assert.equal(escapeBytes(utf8("\u200b"), false), "\\xe2\\x80\\x8b");
});

async function records(text: string | Uint8Array, format: "jsonl" | "csv", chunk = 5) {
  const bytes = typeof text === "string" ? utf8(text) : text;
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunk) yield bytes.slice(at, at + chunk);
  }
  const all = [];
  for await (const record of readRecords(linesOf(chunks()), format)) all.push(record);
  return all;
}

Deno.test("readRecords reads JSON lines and names bad ones by line", async () => {
  const read = await records(
    `{"hash_key":"h","sort_key":"s","value":"v\u2028w"}\r\n\n` +
      `{"hash_key":{"base64":"AP8="},"value":"","ttl":5}\nnot json\n{"hash_key":"h"}\n` +
      `{"hash_key":"h","value":"v","tll":1}\n{"hash_key":"h","value":"v","ttl":-1}`,
    "jsonl",
  );
  assert.deepEqual(read.map((r) => r.line), [1, 3, 4, 5, 6, 7]);
  assert.equal(fromUtf8(read[0]!.row!.value), "v\u2028w");
  assert.deepEqual([...read[1]!.row!.hashKey], [0, 255]);
  assert.equal(read[1]!.row!.ttl, 5);
  assert.match(read[3]!.problem!, /"value" is missing/);
  assert.match(read[4]!.problem!, /Unknown field "tll"/);
  assert.match(read[5]!.problem!, /ttl is -1/);
});

Deno.test("readRecords reads CSV with and without head, over several lines", async () => {
  const read = await records('a,b,"x, ""y""\nz"\nc,d,e,60\n\nf\n', "csv");
  assert.deepEqual(read.map((r) => r.line), [1, 3, 5]);
  assert.equal(fromUtf8(read[0]!.row!.value), 'x, "y"\nz');
  assert.equal(read[1]!.row!.ttl, 60);
  assert.match(read[2]!.problem!, /"value" is missing/);
  const headed = await records("value,hash_key\nv,h\n", "csv");
  assert.deepEqual(headed.map((r) => fromUtf8(r.row!.hashKey)), ["h"]);
  assert.match((await records('a,b,"c\n', "csv"))[0]!.problem!, /quote is missing/);
  const [quoted] = await records('"a""b",,c', "csv");
  assert.deepEqual([quoted!.row!.hashKey, quoted!.row!.value].map(fromUtf8), ['a"b', "c"]);
  assert.match((await records("a,b,", "csv"))[0]!.row!.value.join(), /^$/, "an empty last field");
  assert.equal(formatOf("X.CSV"), "csv");
});

/** What was read: the value of a row, or what is wrong, by line. */
async function outcomes(text: string | Uint8Array, format: "jsonl" | "csv") {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const read = await records(text, format);
  return read.map(({ line, row, problem }) =>
    [line, problem ?? decoder.decode(row!.value as Uint8Array<ArrayBuffer>)] as const
  );
}

Deno.test("a quote inside of a CSV field costs its own line and no other", async () => {
  const inside = await outcomes(
    'h4,s,a\nh5,s,5" disk\nh6,s,b\nh7,s,c\nh9,s,3" disk\nh10,s,d',
    "csv",
  );
  assert.deepEqual(inside.filter(([, said]) => said.length === 1), [
    [1, "a"],
    [3, "b"],
    [4, "c"],
    [6, "d"],
  ]);
  assert.deepEqual(inside.filter(([, said]) => said.length > 1).map(([line]) => line), [2, 5]);
  assert.match(inside[1]![1], /^A quote stands inside of "5\\" disk"/);
  const behind = await outcomes('h1,s,"5" disk,"and\nmore"\nh3,s,a\n', "csv");
  assert.match(behind[0]![1], /^" disk" stands behind the quote.* goes on to line 2\)$/);
  assert.deepEqual(behind[1], [3, "a"], "a later field was still read to its end");
  const open = await outcomes('h1,s,"5\nh2,s,a\n', "csv");
  assert.deepEqual(open, [[1, "A closing quote is missing"]]);
});

Deno.test("a line that is not UTF-8 is bad, and only the mark that begins a file is left out", async () => {
  const latin1 = (text: string) => Uint8Array.from([...text].map((char) => char.charCodeAt(0)));
  const csv = await outcomes(latin1('h1,s,gr\xf6\xdfe\nh2,s,"a\n\xf6"\nh4,s,b\n'), "csv");
  assert.deepEqual(csv, [
    [1, "The line is not UTF-8"],
    [2, "The line is not UTF-8 (the record goes on to line 3)"],
    [4, "b"],
  ]);
  const row = (value: string) => `{"hash_key":"h","value":"${value}"}\n`;
  const json = await outcomes(latin1(row("gr\xf6\xdfe") + row("a")), "jsonl");
  assert.deepEqual(json, [[1, "The line is not UTF-8"], [2, "a"]]);
  assert.deepEqual(await outcomes(`\ufeff${row("\ufeffa")}`, "jsonl"), [[1, "\ufeffa"]]);
  const marked = '\ufeffvalue,hash_key\n"a\n\ufeffb",h\n';
  assert.deepEqual(await outcomes(marked, "csv"), [[2, "a\n\ufeffb"]]);
  assert.match((await outcomes(row("\\ud800"), "jsonl"))[0]![1], /lone surrogate/);
});

Deno.test("a CSV field of many lines is read in time that grows with its length", async () => {
  const lines = 200_000;
  const read = await outcomes(`h,s,"${"x\n".repeat(lines)}"\n`, "csv");
  assert.equal(read[0]![1].length, 2 * lines);
});

Deno.test("writeRow and readRecords are inverse in both formats", async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.string({ unit: "binary", maxLength: 12 }).map(utf8),
    fc.constantFrom(...["\r\n", '"', ",", "\n", "", "\ufeffx", "x\n\ufeffy"].map(utf8)),
  );
  const row: fc.Arbitrary<FileRow> = fc.record({
    hashKey: bytes,
    sortKey: bytes,
    value: bytes,
    ttl: fc.nat(0x7fffffff),
  });
  const plain = (r: FileRow) => [[...r.hashKey], [...r.sortKey], [...r.value], r.ttl];
  await fc.assert(fc.asyncProperty(fc.array(row), async (rows) => {
    for (const format of ["jsonl", "csv"] as const) {
      const head = format === "csv" ? [CSV_HEAD] : [];
      const text = [...head, ...rows.map((r) => writeRow(r, format))].join("\n");
      const read = await records(text, format, 7);
      assert.deepEqual(read.map((r) => plain(r.row!)), rows.map(plain), format);
    }
  }));
});

Deno.test("complete offers commands, options, choices and tables", () => {
  const known = {
    tables: ["users", "events"],
    nodes: ["10.0.0.1:34801", "10.0.0.2:34801"],
    clusters: ["east", "west"],
  };
  const of = (line: string) => complete(line, COMMANDS, known).candidates;
  assert.deepEqual(of("multi_d"), ["multi_del", "multi_del_range"]);
  assert.deepEqual(of("use "), ["events", "users"]);
  assert.deepEqual(of("get h s; app u"), ["users"]);
  assert.deepEqual(of("ls --s"), ["--status"]);
  assert.ok(of("ls -s ").includes("dropped"));
  assert.deepEqual(of("full_scan --table e"), ["events"]);
  assert.ok(of("help ").includes("set"));
  assert.deepEqual(of("drain 10.0.0.1"), ["10.0.0.1:34801"]);
  assert.deepEqual(of("cc e"), ["east"]);
  assert.deepEqual(of("set_app_envs default_t"), ["default_ttl"]);
  assert.deepEqual(of("ls --js"), ["--json"]);
  assert.deepEqual(of("nonsense "), []);
});

Deno.test("renderTable aligns wide characters and numbers", () => {
  const lines = renderTable(["name", "count"], [["键", 1], ["plain", 20]]).split("\n");
  assert.deepEqual(lines, ["name   count", "键         1", "plain     20"]);
});

Deno.test("progressLine tells share, rate and remaining time", () => {
  assert.equal(
    progressLine(50, 100, 500, 10),
    "[============            ]  50%  500 rows, 50 rows/s, 10 s left",
  );
  assert.equal(progressLine(0, 0, 7, 1), "7 rows, 7 rows/s");
  assert.deepEqual([59, 61, 7300].map(formatSeconds), ["59 s", "1 min 1 s", "2 h 1 min"]);
  assert.deepEqual([5, 1536, -1].map(formatBytes), ["5 B", "1.5 KiB", "-"]);
});
