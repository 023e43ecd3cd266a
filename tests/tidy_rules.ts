// House rules as functions from source text to complaints; tidy_test.ts runs them over the tree and over
// samples that break them. They read text, not syntax trees: sources are formatted by `deno fmt`, so
// indentation tells where a function ends.

/** A source file: its path from the project's root, with "/" between parts, and its text. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

// docs/ARCHITECTURE.md, "Floors".
const FLOORS: readonly (readonly [string, number])[] = [
  ["src/base/", 0],
  ["src/schema/", 1],
  ["src/config/", 1],
  ["src/observe/", 1],
  ["src/replication/", 2],
  ["src/placement/", 2],
  ["src/rpc/", 3],
  ["src/coordination/", 3],
  ["storage/", 3],
  ["src/client/", 4],
  ["roles/", 5],
  ["tests/", 6],
];
const PURE_FLOOR_MAX = 2;

// What a file of the pure floors may use all the same, each with its reason.
const PURE_EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  "src/base/crc.ts": ["node:zlib"], // the runtime's CRC-32; no state
  "src/base/clock.ts": ["Date", "performance"], // the clock that drivers pass down
  "src/base/files.ts": ["Promise"], // the interface of the disk, used above floor 2
  "src/schema/codec.ts": ["msgpackr"], // the encoding of messages
  "src/config/flags.ts": ["@std/cli/parse-args"], // roles only
  "src/config/load.ts": ["smol-toml"], // roles only
  "src/observe/log.ts": ["@logtape/logtape", "Date"], // roles only
  // The text of a scrape, asked for by roles only; recording is synchronous.
  "src/observe/metric.ts": ["@prometheus-io/client", "Promise", "async", "await"],
};

const IMPURE =
  /\b(Deno|Date|Promise|async|await|console|performance|crypto|process(?=\.)|setTimeout|setInterval|queueMicrotask|Math\.random)\b/g;

/** The floor of a path and the folder that makes its neighbourhood. */
function floorOf(path: string): readonly [string, number] | undefined {
  return FLOORS.find(([folder]) => path.startsWith(folder));
}

/** Module names a source imports or re-exports. */
export function importsOf(source: Source): string[] {
  const statements = source.text.matchAll(
    /^(?:import|export)\b[^;"']*?\bfrom\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\("([^"]+)"\)/gm,
  );
  return [...statements].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** Imports point down, and neighbours of one floor do not know each other. */
export function checkFloors(source: Source): string[] {
  const own = floorOf(source.path);
  if (own === undefined) return [`${source.path}: is on no floor of docs/ARCHITECTURE.md`];
  const problems: string[] = [];
  for (const name of importsOf(source)) {
    if (!name.startsWith(".")) continue;
    const target = new URL(name, `file:///${source.path}`).pathname.slice(1);
    const floor = floorOf(target);
    if (floor === undefined) problems.push(`${source.path}: imports "${target}", on no floor`);
    else if (floor[0] !== own[0] && floor[1] >= own[1]) {
      problems.push(`${source.path}: imports "${target}", which is not below it`);
    }
  }
  return problems;
}

/** Floors 0 to 2 take time, chance and effects from their callers. */
export function checkPurity(source: Source): string[] {
  const own = floorOf(source.path);
  if (own === undefined || own[1] > PURE_FLOOR_MAX || source.path.endsWith(".d.ts")) return [];
  const allowed = new Set(PURE_EXCEPTIONS[source.path]);
  const used = new Set(importsOf(source).filter((name) => !name.startsWith(".")));
  for (const match of maskText(source.text).matchAll(IMPURE)) used.add(match[1]!);
  return [...used].filter((name) => !allowed.has(name))
    .map((name) => `${source.path}: uses "${name}" on a pure floor`);
}

/** Each library is imported by one file, so that it can be replaced there. */
export function checkLibraries(sources: readonly Source[]): string[] {
  const owners = new Map<string, Set<string>>();
  for (const source of sources) {
    if (source.path.startsWith("tests/")) continue;
    for (const name of importsOf(source)) {
      if (/^(\.|node:)/.test(name)) continue;
      owners.set(name, (owners.get(name) ?? new Set()).add(source.path));
    }
  }
  return [...owners].filter(([, paths]) => paths.size > 1)
    .map(([name, paths]) => `"${name}" is imported by ${[...paths].join(" and ")}`);
}

/** Files open with what they are, and stay short; so do functions. */
export function checkSize(source: Source): string[] {
  const lines = source.text.trimEnd().split("\n");
  const problems: string[] = [];
  if (!/^(#!|\/\/|\/\*\*)/.test(lines[0] ?? "")) {
    problems.push(`${source.path}: does not open with a comment that says what it is`);
  }
  if (lines.length > LINES_MAX) {
    problems.push(`${source.path}: has ${lines.length} lines, more than ${LINES_MAX}`);
  }
  // A conformance suite is one function around many tests.
  const bounded = !source.path.endsWith("_suite.ts");
  for (let start = 0; bounded && start < lines.length; start++) {
    if (!startsFunction(lines[start]!)) continue;
    const length = functionLines(lines, start);
    if (length > FUNCTION_LINES_MAX) {
      problems.push(`${source.path}:${start + 1}: a function of ${length} lines`);
    }
  }
  return problems;
}

const FUNCTION_START = [
  /^\s*(?:export )?(?:default )?(?:async )?function\b/,
  /=> \{$/,
  /^\s+(?:(?:public|private|protected|static|override|async|get|set) )*[*#]?[\w$]+(?:<.*>)?\((?:.*\{|)$/,
];
const STATEMENT_START = /^\s*(?:if|for|while|switch|catch|return|throw|await|super|new)\b/;

function startsFunction(line: string): boolean {
  return !STATEMENT_START.test(line) && FUNCTION_START.some((pattern) => pattern.test(line));
}

/** Lines from `start` to the line of the same indentation that closes what it opens. */
function functionLines(lines: readonly string[], start: number): number {
  const indent = /^\s*/.exec(lines[start]!)![0];
  for (let i = start + 1; i < lines.length; i++) {
    const line = lines[i]!;
    if (line.startsWith(`${indent}}`) && !line.endsWith("{")) return i - start + 1;
    // A call that looked like a method head closes with a parenthesis.
    if (line.startsWith(`${indent})`) && !line.endsWith("{")) return i - start + 1;
  }
  return lines.length - start;
}

/**
 * What a file exports is named by another one: an export tells the reader that somebody else depends on it. Types are
 * free, because the signatures that use them are exported, and so is the vocabulary of the wire, which one file lists.
 */
export function checkExports(sources: readonly Source[]): string[] {
  const users = new Map<string, Set<string>>();
  for (const { path, text } of sources) {
    for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) {
      users.set(word, (users.get(word) ?? new Set()).add(path));
    }
  }
  return sources.flatMap(({ path, text }) => {
    if (/^src\/schema\/\w+_rpc\.ts$/.test(path)) return [];
    const declared = text.matchAll(
      /^export (?:async )?(?:abstract )?(?:function\*?|class|const) (\w+)/gm,
    );
    return [...declared].filter(([, name]) => users.get(name!)!.size === 1)
      .map(([, name]) => `${path}: exports "${name}", which no other file names`);
  });
}

/** No notes to self, no tests that do not run. */
export function checkMarkers(source: Source): string[] {
  const problems: string[] = [];
  source.text.split("\n").forEach((line, i) => {
    const marker = /\b(TODO|FIXME|XXX|HACK)\b/.exec(line);
    if (marker !== null) problems.push(`${source.path}:${i + 1}: leftover "${marker[1]}"`);
    if (/\bDeno\.test\.(ignore|only|skip)\b|\b(ignore|only):\s*true\b/.test(line)) {
      problems.push(`${source.path}:${i + 1}: a test that is skipped or runs alone`);
    }
  });
  return problems;
}

/** Links of a page to other files, and pages that sources name, exist. */
export function checkLinks(page: Source, exists: (path: string) => boolean): string[] {
  const targets = new Set<string>();
  if (page.path.endsWith(".md")) {
    for (const match of page.text.matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g)) {
      if (/^[a-z]+:/.test(match[1]!)) continue;
      targets.add(new URL(match[1]!, `file:///${page.path}`).pathname.slice(1));
    }
  }
  for (const match of page.text.matchAll(/\bdocs\/[\w/]+\.md\b/g)) targets.add(match[0]);
  return [...targets].filter((target) => !exists(target))
    .map((target) => `${page.path}: names "${target}", which does not exist`);
}

/** What a link writes after "#" to reach a heading, as GitHub makes it. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N}_\- ]/gu, "").trim().replace(/ /g, "-");
}

/** Links into a page lead to a heading that stands there. @param textOf "" for what is no page. */
export function checkAnchors(page: Source, textOf: (path: string) => string): string[] {
  const problems: string[] = [];
  for (const match of page.text.matchAll(/\]\(([^)\s#]*)#([^)\s]+)\)/g)) {
    const [, name, anchor] = match;
    if (/^[a-z]+:/.test(name!)) continue;
    const target = name === ""
      ? page.path
      : new URL(name!, `file:///${page.path}`).pathname.slice(1);
    const text = target === page.path ? page.text : textOf(target);
    const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
    if (!headings.includes(anchor!)) {
      problems.push(`${page.path}: "${target}" has no heading #${anchor}`);
    }
  }
  return problems;
}

/**
 * Sections that sources and pages name, as in `docs/meta.md, "Cure"` or `log_format.md, "Replay"`, exist: a heading
 * holds these words, or something set in bold does. @param textOf Text of a page of docs/; "" if there is none.
 */
export function checkSections({ path, text }: Source, textOf: (path: string) => string): string[] {
  const plain = text.replace(/\n\s*(?:\/\/|\*)?\s*/g, " ");
  const named = /\b(\w+\.md)\)?,? "([A-Z][^"]{2,40})"(?: and "([A-Z][^"]{2,40})")?/g;
  return [...plain.matchAll(named)].flatMap(([, page, ...sections]) => {
    const titles = [...textOf(`docs/${page}`).matchAll(/^#+ (.*)$|\*\*([^*]+)\*\*/gm)]
      .map(([, heading, bold]) => (heading ?? bold!).toLowerCase());
    return sections.filter((section) => section !== undefined)
      .filter((section) => !titles.some((title) => title.includes(section.toLowerCase())))
      .map((section) => `${path}: docs/${page} has no section "${section}"`);
  });
}

/** The source with comments, texts and regular expressions blanked, so that only code is left. */
export function maskText(text: string): string {
  const skip =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|(?<=[(,=:[!&|?{};]\s*|return )\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/[a-z]*/g;
  return text.replace(skip, (match) => match.replace(/[^\n]/g, " "));
}
