// The flags of the tasks that test for long: declared once, checked, and listed by --help. Exit code 2 with a message for
// what is wrong with them.

import { suggestion } from "../src/config/suggest.ts";

/** One flag. */
export interface Flag {
  /** How its value is called in the help; "" for a switch. "N": a whole number above 0, "M": any. */
  readonly value: string;
  readonly help: string;
}

/** What a task is and takes. */
export interface Usage {
  /** `sim`, without "deno task". */
  readonly task: string;
  readonly summary: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** Name of the arguments behind the flags; undefined: there are none. */
  readonly rest?: string;
  readonly exitCodes: string;
}

/** Thrown for what is wrong with the flags. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Values by flag, "" for a switch that is set; and what is no flag. */
export interface Given {
  readonly flags: ReadonlyMap<string, string>;
  readonly rest: readonly string[];
}

/** @throws {UsageError} */
export function parseFlags(usage: Usage, args: readonly string[]): Given {
  const flags = new Map<string, string>();
  const rest: string[] = [];
  const queue = args.flatMap((arg) => /^--[^=]+=/.test(arg) ? splitOnce(arg) : [arg]);
  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    if (!arg.startsWith("-")) {
      if (usage.rest === undefined) throw new UsageError(`Unexpected argument "${arg}"`);
      rest.push(arg);
      continue;
    }
    const flag = Object.hasOwn(usage.flags, arg) ? usage.flags[arg] : undefined;
    if (flag === undefined) {
      throw new UsageError(`Unknown flag "${arg}"${suggestion(arg, Object.keys(usage.flags))}`);
    }
    if (flags.has(arg)) throw new UsageError(`${arg} is there twice`);
    if (flag.value === "") {
      flags.set(arg, "");
      continue;
    }
    const value = queue.shift();
    if (value === undefined || value.startsWith("--")) {
      throw new UsageError(`${arg} needs a value: ${arg} ${flag.value}`);
    }
    if (flag.value === "M" && !(Number(value) > 0 && Number.isFinite(Number(value)))) {
      throw new UsageError(`${arg} takes a number above 0, not "${value}"`);
    }
    if (flag.value === "N" && !(Number.isSafeInteger(Number(value)) && Number(value) > 0)) {
      throw new UsageError(`${arg} takes a whole number above 0, not "${value}"`);
    }
    flags.set(arg, value);
  }
  return { flags, rest };
}

function splitOnce(arg: string): [string, string] {
  const at = arg.indexOf("=");
  return [arg.slice(0, at), arg.slice(at + 1)];
}

/** What --help prints. */
export function helpOf({ task, summary, flags, rest, exitCodes }: Usage): string {
  const rows = Object.entries(flags).map(([name, { value, help }]): [string, string] => [
    `  ${name}${value === "" ? "" : ` ${value}`}`,
    help,
  ]);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  const lines = rows.map(([left, help]) => left.padEnd(width) + help);
  const behind = rest === undefined ? "" : ` ${rest}`;
  return `${summary}\n\nUsage: deno task ${task} [flags]${behind}\n\n${
    lines.join("\n")
  }\n\n${exitCodes}`;
}

/** Parses the flags of this process; prints the help, or what is wrong, and ends it. */
export function flagsOrExit(usage: Usage): Given {
  if (Deno.args.includes("--help") || Deno.args.includes("-h")) {
    console.log(helpOf(usage));
    Deno.exit(0);
  }
  try {
    return parseFlags(usage, Deno.args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    exitUsage(usage, error.message);
  }
}

/** The names of a flag "--x A,B", checked; all of them without it. */
export function namesOf(
  usage: Usage,
  { flags }: Given,
  flag: string,
  all: readonly string[],
): readonly string[] {
  const names = flags.get(flag)?.split(",") ?? all;
  const unknown = names.find((name) => !all.includes(name));
  if (unknown === undefined) return names;
  exitUsage(usage, `${flag} knows no "${unknown}"${suggestion(unknown, all)}: ${all.join(", ")}`);
}

/** Ends the process because of a flag. */
export function exitUsage(usage: Usage, problem: string): never {
  console.error(`${problem}; deno task ${usage.task} --help lists the flags`);
  Deno.exit(2);
}
