// Reads the commands that pages and service files tell people to type, so that doc_commands_test.ts can hold
// them against the program: a renamed flag or command must not survive in a page. Fences named "sh"
// hold lines for a terminal, fences named "pegasus" lines for our shell.

/** A command line of a page: where it stands, and its words. */
export interface DocCommand {
  readonly path: string;
  readonly line: number;
  readonly words: readonly string[];
}

/** A piece of a page between fences. */
interface Fence {
  readonly language: string;
  readonly line: number;
  readonly text: string;
}

/** Fenced pieces of a page, in order. */
function fencesOf(text: string): Fence[] {
  const found: Fence[] = [];
  let open: { language: string; line: number; lines: string[] } | undefined;
  text.split("\n").forEach((line, i) => {
    const mark = /^\s*```(\w*)/.exec(line);
    if (mark === null) open?.lines.push(line);
    else if (open === undefined) open = { language: mark[1]!, line: i + 2, lines: [] };
    else {
      found.push({ language: open.language, line: open.line, text: open.lines.join("\n") });
      open = undefined;
    }
  });
  return found;
}

/** Words of a terminal line: quotes kept together, variables replaced by something that parses. */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  const pattern = /((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+)/g;
  for (const [word] of line.replace(/\s#.*$/, "").matchAll(pattern)) {
    if (word.startsWith("#")) break;
    words.push(
      word.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'/g, (_, double, single) => {
        return single ?? String(double).replace(/\\(["\\$`])/g, "$1");
      }).replace(/\$\{?[A-Z_]+\}?/g, "127.0.0.1"),
    );
  }
  return words;
}

/** Parts of a line that are commands of their own. */
function splitLine(line: string): string[] {
  // Quotes are blanked to find separators only outside of them.
  const blank = line.replace(/"(?:\\.|[^"\\])*"|'[^']*'/g, (quoted) => "q".repeat(quoted.length));
  const parts: string[] = [];
  let start = 0;
  for (const match of blank.matchAll(/&&|\|\||[;|]|&$|&\s/g)) {
    parts.push(line.slice(start, match.index));
    start = match.index + match[0].length;
  }
  return [...parts, line.slice(start)];
}

/** Words from our program's name or task on, or `undefined` if the line is somebody else's. */
function ownWords(words: readonly string[]): string[] | undefined {
  const task = words.findIndex((word, i) =>
    word === "task" && /^deno(@[\d.]+)?$/.test(words[i - 1]!)
  );
  if (task > 0) return ["task", ...words.slice(task + 1)];
  // Where it is an argument of another program, the name runs nothing.
  if (/^(useradd|chown|install|journalctl|systemctl)$/.test(words[0] ?? "")) return undefined;
  const program = words.findLastIndex((word, i) =>
    /(^|\/)pegasus$/.test(word) && !/^-[pt]$/.test(words[i - 1] ?? "")
  );
  return program < 0 ? undefined : words.slice(program + 1);
}

/** Our commands in the terminal lines of a page. */
export function terminalCommands(path: string, text: string): DocCommand[] {
  const found: DocCommand[] = [];
  for (const fence of fencesOf(text).filter(({ language }) => language === "sh")) {
    let pending = "";
    fence.text.split("\n").forEach((line, i) => {
      if (line.endsWith("\\")) {
        pending += line.slice(0, -1);
        return;
      }
      for (const part of splitLine(pending + line)) {
        const words = ownWords(shellWords(part));
        if (words !== undefined) found.push({ path, line: fence.line + i, words });
      }
      pending = "";
    });
  }
  return [...found, ...inlineCommands(path, text)];
}

/** Commands in the running text of a page; patterns with brackets or dots are for reading only. */
function inlineCommands(path: string, text: string): DocCommand[] {
  const prose = text.replace(/^\s*```[^]*?^\s*```/gm, (fence) => fence.replace(/[^\n]/g, ""));
  const pattern = /`((?:npx -y deno@[\d.]+|deno) task|pegasus(?= [a-z]+ -))( [^`[<|]+)`/g;
  return [...prose.matchAll(pattern)].flatMap((match) => {
    const words = ownWords(shellWords((match[1]! + match[2]!).replace(/\s+/g, " ")));
    if (words === undefined || words.some((word) => word.includes("..."))) return [];
    return [{ path, line: prose.slice(0, match.index).split("\n").length, words }];
  });
}

/** Lines of the fences that hold commands of our shell. */
export function promptLines(path: string, text: string): { path: string; text: string }[] {
  return fencesOf(text).filter(({ language }) => language === "pegasus").flatMap((fence) =>
    fence.text.split("\n").filter((line) => line.trim() !== "").map((line, i) => {
      return { path: `${path}:${fence.line + i}`, text: line.replace(/^\w*> /, "") };
    })
  );
}

/** The command of a systemd unit. */
export function unitCommands(path: string, text: string): DocCommand[] {
  return text.split("\n").flatMap((line, i) => {
    const command = /^ExecStart=(.*)$/.exec(line)?.[1];
    const words = command === undefined ? undefined : ownWords(shellWords(command));
    return words === undefined ? [] : [{ path, line: i + 1, words }];
  });
}

/** The commands of a compose file, written as lists. */
export function composeCommands(path: string, text: string): DocCommand[] {
  const found: { path: string; line: number; words: string[] }[] = [];
  let inside = false;
  text.split("\n").forEach((line, i) => {
    if (/^\s+command:/.test(line)) {
      inside = true;
      found.push({ path, line: i + 1, words: [] });
    } else if (inside) {
      const item = /^\s+- (.*)$/.exec(line)?.[1];
      if (item === undefined) inside = false;
      else found.at(-1)!.words.push(item);
    }
  });
  return found;
}
