// The log of a process: forms of lines, levels, and the limit of repeated ones.

import assert from "node:assert/strict";
import { LineLimit } from "../../../src/observe/line_limit.ts";
import { openLog } from "../../../src/observe/log.ts";
import type { LogLevel } from "../../../src/observe/logger.ts";

function withLog(format: "text" | "json", level: LogLevel) {
  const lines: string[] = [];
  let nowMs = 0;
  const log = openLog({
    level,
    format,
    write: (line) => lines.push(line),
    monotonicMs: () => nowMs,
  });
  return { log, lines, pass: (ms: number) => nowMs += ms };
}

Deno.test("openLog() writes text lines with details apart and one line per event", () => {
  const { log, lines } = withLog("text", "info");
  log.logger("meta.core").warn("Node is dead", {
    node: "a:1",
    ageMs: 5,
    why: "two\nlines",
    x: undefined,
  });
  log.close();
  assert.equal(lines.length, 1);
  assert.match(
    lines[0]!,
    /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}meta\.core: Node is dead node=a:1 ageMs=5 why="two\\nlines"\n$/,
  );
});

Deno.test("openLog() writes JSON lines that survive awkward values", () => {
  const { log, lines } = withLog("json", "debug");
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  const logger = log.logger("rpc");
  logger.debug("Frame {refused} }{", {
    size: 5n,
    bytes: new Uint8Array(3),
    error: new Error("bad"),
  });
  logger.error("Circle", { circle });
  log.close();
  const [first, second] = lines.map((line) => JSON.parse(line));
  assert.equal(first.message, "Frame {refused} }{");
  assert.equal(first.level, "debug");
  assert.equal(first.category, "rpc");
  assert.equal(first.size, "5");
  assert.equal(first.bytes, "3 bytes");
  assert.match(first.error, /^Error: bad/);
  assert.equal(second.message, "Circle");
});

Deno.test("openLog() leaves out lines below its level", () => {
  const { log, lines } = withLog("text", "warn");
  const logger = log.logger("x");
  logger.debug("a");
  logger.info("b");
  logger.warn("c");
  logger.error("d");
  log.close();
  logger.error("after close");
  assert.deepEqual(lines.map((line) => line.trim().split(" ").at(-1)), ["c", "d"]);
});

Deno.test("openLog() holds back repeated lines and tells how many", () => {
  const { log, lines, pass } = withLog("text", "info");
  const logger = log.logger("x");
  for (let i = 0; i < 1000; i++) logger.warn("Again", { i });
  logger.warn("Other");
  assert.equal(lines.length, 21);
  pass(10_000);
  logger.warn("Again");
  log.close();
  assert.match(lines.at(-1)!, /Again heldBack=980\n$/);
});

Deno.test("LineLimit stays bounded when every line differs", () => {
  const limit = new LineLimit(1, 1000);
  for (let i = 0; i < 25_000; i++) assert.equal(limit.admit(`line ${i}`, 0), 0);
  assert.equal(limit.admit("line 24999", 0), -1);
});

Deno.test("openLog() lets no text of a stranger act on a terminal", () => {
  const { log, lines } = withLog("text", "info");
  const texts = ["\x1b[31mred", "a\u202eb", "\x07", "\x9b2J", "two\nlines", "plain-1:2"];
  for (const peer of texts) log.logger("rpc").info("Connected", { peer });
  const shown = lines.map((line) => line.slice(line.indexOf("peer=")).trimEnd());
  assert.deepEqual(shown, [
    String.raw`peer="\u001b[31mred"`,
    String.raw`peer="a\u202eb"`,
    String.raw`peer="\u0007"`,
    String.raw`peer="\u009b2J"`,
    String.raw`peer="two\nlines"`,
    "peer=plain-1:2",
  ]);
});
