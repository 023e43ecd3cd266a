// The declarations of the commands: what help promises is what the parser takes.

import assert from "node:assert/strict";
import { COMMANDS, needCommand } from "../../../roles/shell/commands/all.ts";
import { flagsOf, parseArgs } from "../../../roles/shell/declare.ts";
import { commandHelp } from "../../../roles/shell/help.ts";
import { parseLine } from "../../../roles/shell/words.ts";

Deno.test("every command has names of its own, and options that cannot be mistaken", () => {
  const names = COMMANDS.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  assert.equal(new Set(names).size, names.length, "two commands have one name");
  for (const command of COMMANDS) {
    const flags = flagsOf(command);
    const long = flags.map(({ name }) => name);
    const short = flags.map((flag) => flag.short).filter((letter) => letter !== undefined);
    assert.equal(new Set(long).size, long.length, `${command.name}: two options have one name`);
    assert.equal(new Set(short).size, short.length, `${command.name}: two options have one letter`);
    const places = [...command.positionals.map(({ name }) => name), ...long];
    assert.equal(new Set(places).size, places.length, `${command.name}: an argument is an option`);
    const optional = command.positionals.map((positional) => positional.optional === true);
    assert.deepEqual(
      optional,
      optional.toSorted(),
      `${command.name}: what may be absent comes last`,
    );
  }
});

Deno.test("every command that needs arguments shows an example, and every example is right", () => {
  for (const command of COMMANDS) {
    const { name, positionals, examples = [] } = command;
    const needs = positionals.some(({ optional }) => optional !== true);
    assert.ok(!needs || examples.length > 0, `${name} shows no example`);
    for (const example of examples) {
      const [words, ...others] = parseLine(example);
      assert.equal(others.length, 0, example);
      assert.equal(needCommand(words![0]!.text), command, example);
      parseArgs(command, words!.slice(1));
      assert.ok(commandHelp(command).includes(example), example);
    }
  }
});
