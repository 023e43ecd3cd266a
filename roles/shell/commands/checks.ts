// Conditional writes: check_and_set and check_and_mutate, whose changes stand behind it or are typed line by line, as in
// the original.

import { utf8 } from "../../../src/base/bytes.ts";
import type { Check, CheckOutcome, CheckType, Mutate } from "../../../src/client/mod.ts";
import { CHECK_TYPES } from "../../../src/schema/client_rpc.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, type Flag, UsageProblem } from "../declare.ts";
import { type Json, jsonBytes } from "../render.ts";
import { parseLine, SyntaxProblem, type Word } from "../words.ts";
import { explained, HASH_KEY, row, TTL_FLAG, ttlOf } from "./data.ts";

const NOT_A_NUMBER = "The operand or the checked row is not a whole number as text";

const CHECK_FLAGS: readonly Flag[] = [
  { name: "check_sort_key", short: "c", type: "bytes", brief: "Sort key of the checked row" },
  {
    name: "check_type",
    short: "t",
    type: "text",
    brief: "What must hold",
    choices: CHECK_TYPES,
  },
  {
    name: "check_operand",
    short: "o",
    type: "bytes",
    brief: "What to compare with",
    default: "''",
  },
  { name: "return_check_value", short: "r", type: "bool", brief: "Print the checked row's value" },
];

function checkOf(args: Args): Check {
  const sortKey = args.bytes("check_sort_key");
  const type = args.text("check_type");
  if (sortKey === undefined) throw new UsageProblem("--check_sort_key is missing");
  if (type === undefined) throw new UsageProblem("--check_type is missing");
  return {
    sortKey,
    type: type as CheckType,
    operand: args.bytes("check_operand") ?? utf8(""),
    returnValue: args.has("return_check_value"),
  };
}

/** {@link explained}, where the check compares numbers. */
function explainedCheck<T>(args: Args, answer: Promise<T>): Promise<T> {
  return args.text("check_type")?.startsWith("int_") ? explained(answer, NOT_A_NUMBER) : answer;
}

function answerCheck(context: Context, args: Args, outcome: CheckOutcome): void {
  context.isNegative = !outcome.passed;
  const lines = [outcome.passed ? "OK" : "Not done: the check failed"];
  const value: { [name: string]: Json } = { passed: outcome.passed };
  if (args.has("return_check_value")) {
    value["check_value"] = outcome.value === undefined ? null : jsonBytes(outcome.value);
    lines.push(
      outcome.value === undefined
        ? "The checked row does not exist"
        : `The checked value is ${context.show(outcome.value)}`,
    );
  }
  context.answer(value, lines.join("\n"));
}

const checkAndSet: Command = {
  ...row,
  name: "check_and_set",
  changes: true,
  brief: "Store a row if a check on a row of the same hash key holds",
  examples: ['check_and_set user:1 -c name -t bytes_equal -o Ada -v "Ada L."'],
  positionals: [HASH_KEY],
  flags: [
    ...CHECK_FLAGS,
    {
      name: "set_sort_key",
      short: "s",
      type: "bytes",
      brief: "Row to store",
      default: "the checked row",
    },
    { name: "set_value", short: "v", type: "bytes", brief: "Value to store" },
    { ...TTL_FLAG, short: "l" },
  ],
  async run(context, args) {
    const value = args.bytes("set_value");
    if (value === undefined) throw new UsageProblem("--set_value is missing");
    const sortKey = args.bytes("set_sort_key");
    const change = { value, ...ttlOf(args), ...(sortKey === undefined ? {} : { sortKey }) };
    const hashKey = args.needBytes("hash_key");
    const setting = context.table.checkAndSet(hashKey, checkOf(args), change);
    answerCheck(context, args, await explainedCheck(args, setting));
  },
};

/** Changes in words: put SORT_KEY VALUE, del SORT_KEY. @throws {UsageProblem} */
function mutationsOf(given: readonly Word[], ttl: { ttl?: number }): Mutate[] {
  const words = [...given];
  const mutations: Mutate[] = [];
  while (words.length > 0) {
    const kind = words.shift()!.text;
    const size = kind === "put" || kind === "set" ? 2 : kind === "del" ? 1 : 0;
    if (size === 0 || words.length < size) {
      throw new UsageProblem(`Expected "put SORT_KEY VALUE" or "del SORT_KEY" at "${kind}"`);
    }
    const sortKey = words.shift()!.bytes;
    if (size === 1) mutations.push({ remove: sortKey });
    else mutations.push({ put: sortKey, value: words.shift()!.bytes, ...ttl });
  }
  return mutations;
}

const HOW =
  'a change on each line, "set SORT_KEY VALUE [TTL]" or "del SORT_KEY"; then "ok", or "abort"';

/** Changes that somebody types; wrong lines are told and can be typed again. @throws {Error} After abort */
async function askMutations(context: Context): Promise<Mutate[]> {
  const mutations: Mutate[] = [];
  context.note(`Say ${HOW}`);
  for (;;) {
    const line = await context.unlessInterrupted(context.ask("change> "));
    if (line === undefined) {
      throw new UsageProblem("<mutations> is missing, and nobody can be asked for them here");
    }
    try {
      const [words = [], ...others] = parseLine(line);
      const [first, ...rest] = words;
      if (first === undefined) continue;
      if (others.length > 0) throw new UsageProblem("One change on each line");
      if (first.text === "abort") throw new Error("Nothing was done");
      if (first.text !== "ok") mutations.push(...lineMutation(first, rest));
      else if (mutations.length > 0) return mutations;
      else context.note("There is no change yet");
    } catch (error) {
      if (!(error instanceof UsageProblem || error instanceof SyntaxProblem)) throw error;
      context.note(`${error.message}; say ${HOW}`);
    }
  }
}

function lineMutation(first: Word, rest: readonly Word[]): Mutate[] {
  const ttl = rest[2]?.text;
  const isPut = first.text === "set" || first.text === "put";
  if (ttl === undefined) return mutationsOf([first, ...rest], {});
  if (!isPut || rest.length > 3 || !/^\d{1,9}$/.test(ttl)) {
    throw new UsageProblem(`Unexpected "${ttl}"`);
  }
  return mutationsOf([first, ...rest.slice(0, 2)], { ttl: Number(ttl) });
}

const checkAndMutate: Command = {
  ...row,
  name: "check_and_mutate",
  changes: true,
  brief: "Store and remove rows if a check on a row of the same hash key holds",
  details: [
    "Mutations follow the options, in order: put SORT_KEY VALUE, or del SORT_KEY. Without any, the prompt",
    "asks for them line by line, each with a life of its own if it has one.",
  ],
  examples: ["check_and_mutate cart:7 -c state -t bytes_equal -o open put state closed del lock"],
  positionals: [HASH_KEY, {
    name: "mutations",
    type: "bytes",
    brief: "put SORT_KEY VALUE or del SORT_KEY, repeated",
    rest: true,
    optional: true,
  }],
  flags: [...CHECK_FLAGS, { ...TTL_FLAG, short: "l", brief: "Life of the rows put, in seconds" }],
  async run(context, args) {
    const hashKey = args.needBytes("hash_key");
    const check = checkOf(args);
    const mutations = args.has("mutations")
      ? mutationsOf(args.all("mutations"), ttlOf(args))
      : await askMutations(context);
    const mutating = context.table.checkAndMutate(hashKey, check, mutations);
    answerCheck(context, args, await explainedCheck(args, mutating));
  },
};

/** See the file comment. */
export const CHECK_COMMANDS: readonly Command[] = [checkAndSet, checkAndMutate];
