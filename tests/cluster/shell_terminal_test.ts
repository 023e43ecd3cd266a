// The shell on a real terminal, as script(1) makes one: where questions stand, what Ctrl-C leaves, what the history
// keeps. No cluster is asked: nobody listens at the address.

import assert from "node:assert/strict";
import { waitFor } from "../../roles/onebox/processes.ts";

const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;
const SHELL = `${Deno.execPath()} run --quiet --no-prompt -A ${MAIN} shell --meta=127.0.0.1:1`;
const DEADLINE_MS = 60_000;

/** A program on a terminal, and who sits there. */
class Conversation {
  /** Everything that was shown. */
  said = "";
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #shown: Promise<void>;

  constructor(dir: string, line: string) {
    this.#child = new Deno.Command("script", {
      args: ["-qec", line, "/dev/null"],
      cwd: dir,
      env: { PEGASUS_HISTORY: `${dir}/history`, NO_COLOR: "1", TERM: "xterm" },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#keys = this.#child.stdin.getWriter();
    this.#shown = this.#listen();
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      this.said += decoder.decode(chunk, { stream: true });
    }
  }

  async type(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** Waits until a text is shown behind what was shown when it was last called. */
  async sees(text: string): Promise<void> {
    const has = () => this.said.indexOf(text, this.#seen) >= 0;
    await waitFor(has, DEADLINE_MS);
    assert.ok(has(), `"${text}" is not in ${JSON.stringify(this.said.slice(this.#seen))}`);
    this.#seen = this.said.indexOf(text, this.#seen) + text.length;
  }

  #seen = 0;

  /** @returns The exit status, once the program has ended */
  async ends(): Promise<number> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), DEADLINE_MS);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    await this.#shown;
    await this.#keys.close().catch(() => {});
    return code;
  }
}

async function inDir(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-terminal-" });
  try {
    await use(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("A question stands on the terminal, not in the file that gets the answer", async () => {
  await inDir(async (dir) => {
    const terminal = new Conversation(dir, `${SHELL} --json -e "drop t" > out.json`);
    await terminal.sees('Drop table "t"? [y/N] ');
    await terminal.type("n\r");
    assert.equal(await terminal.ends(), 1);
    const { error } = JSON.parse(Deno.readTextFileSync(`${dir}/out.json`));
    assert.equal(error.message, "Nothing was done");
    const hidden = new Conversation(dir, `${SHELL} -e "drop t" > out.txt 2> err.txt`);
    assert.equal(await hidden.ends(), 2);
    assert.equal(Deno.readTextFileSync(`${dir}/out.txt`), "");
    assert.match(Deno.readTextFileSync(`${dir}/err.txt`), /Nobody can be asked here: add --yes/);
  });
});

Deno.test("Ctrl-C at a password leaves a prompt that shows and remembers what is typed", async () => {
  await inDir(async (dir) => {
    const terminal = new Conversation(dir, SHELL);
    await terminal.sees("pegasus> ");
    await terminal.type("create_user ada\r");
    await terminal.sees("New password of ada: ");
    await terminal.type("hush\x03");
    await terminal.sees("No password was given");
    await terminal.sees("pegasus> ");
    await terminal.type("help timeout\r");
    await terminal.sees("help timeout");
    await terminal.sees("Set or print the time one operation may take");
    await terminal.sees("pegasus> ");
    await terminal.type("\x04");
    assert.equal(await terminal.ends(), 0);
    assert.ok(!terminal.said.includes("hush"), terminal.said);
    assert.equal(Deno.readTextFileSync(`${dir}/history`), "create_user ada\nhelp timeout\n");
  });
});

Deno.test("Prompts that run at the same time keep each other's history", async () => {
  await inDir(async (dir) => {
    const [one, two] = [new Conversation(dir, SHELL), new Conversation(dir, SHELL)];
    for (const each of [one, two]) await each.sees("pegasus> ");
    for (const [each, line] of [[one, "help set"], [two, "help get"]] as const) {
      await each.type(`${line}\r`);
      await each.sees("Options of all commands");
      await each.sees("pegasus> ");
    }
    await one.type("exit\r");
    await two.type("exit\r");
    assert.deepEqual(await Promise.all([one.ends(), two.ends()]), [0, 0]);
    const lines = Deno.readTextFileSync(`${dir}/history`).split("\n");
    assert.deepEqual(lines.slice(0, 2), ["help set", "help get"]);
  });
});

Deno.test("A script that nobody reads ends with 141, not as if all was done", async () => {
  // More than a pipe holds: it is written to when nobody reads any more.
  const commands = Array(100).fill("help").join("; ");
  const line = `{ ${SHELL} -e "${commands}"; echo $? >&2; } | true`;
  const { stderr } = await new Deno.Command("bash", { args: ["-c", line] }).output();
  assert.equal(new TextDecoder().decode(stderr).trim(), "141");
});
