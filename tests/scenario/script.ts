// The text of a scenario: comments, and commands with the trace they must leave. A command is one line, then a
// line "----", the expected lines, and a blank line. Written back, a script keeps its comments and commands, so
// that only expectations change. docs/testing.md, "Scenario scripts", explains the form.

/** One command of a script and what it must print. */
export interface Step {
  /** Comment lines and blank lines in front of the command, as they stand. */
  readonly before: readonly string[];
  /** Line of the file, from 1 on. */
  readonly line: number;
  readonly command: string;
  readonly expected: readonly string[];
}

const SEPARATOR = "----";

/** Reads a script. Throws on a line that is neither comment, command nor expectation. */
export function parseScript(text: string, path: string): Step[] {
  const lines = text.trimEnd().split("\n");
  const steps: Step[] = [];
  let before: string[] = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at]!;
    if (line === "" || line.startsWith("#")) {
      before.push(line);
      at++;
      continue;
    }
    if (lines[at + 1] !== SEPARATOR) {
      throw new Error(`${path}:${at + 1}: expected "${SEPARATOR}" below the command "${line}"`);
    }
    const expected: string[] = [];
    let end = at + 2;
    for (; end < lines.length && lines[end] !== ""; end++) expected.push(lines[end]!);
    steps.push({ before, line: at + 1, command: line, expected });
    before = [];
    at = end + 1;
  }
  return steps;
}

/** The text of `steps` with `actual` in place of what was expected. */
export function writeScript(
  steps: readonly Step[],
  actual: readonly (readonly string[])[],
): string {
  const blocks = steps.map((step, i) =>
    [...step.before, step.command, SEPARATOR, ...actual[i]!].join("\n") + "\n"
  );
  return blocks.join("\n");
}
