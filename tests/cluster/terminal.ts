// A terminal for commands of the manual's pages, run as they stand: "deno" and "pegasus" are wrappers that stand
// first in PATH and give what runs a directory and free ports of its own.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { waitFor } from "../../roles/onebox/processes.ts";
import { readState } from "../../roles/onebox/state.ts";

export const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** The wrapper: `deno task ROLE ...` runs this program with places of the test. */
function wrapper(dir: string): string {
  const meta = `sed -n 's/.*"address": "\\(.*\\)".*/\\1/p' ${dir}/box/onebox.json | head -n 1`;
  return [
    "#!/bin/sh",
    `[ "$1" = task ] || exec ${Deno.execPath()} "$@"`,
    "role=$2; shift 2",
    "case $role in",
    `  onebox) set -- "$@" --dir=${dir}/box; [ "$1" != start ] || set -- "$@" --port-base=0 ;;`,
    "  meta | replica) ;;",
    `  *) case "$*" in *--meta*) ;; *) set -- --meta="$(${meta})" "$@" ;; esac ;;`,
    "esac",
    `exec ${Deno.execPath()} run --quiet --no-prompt -A ${ROOT}/roles/main.ts "$role" "$@"`,
  ].join("\n");
}

export class Terminal {
  readonly dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-manual-" }));

  constructor() {
    Deno.mkdirSync(`${this.dir}/bin`);
    Deno.writeTextFileSync(`${this.dir}/bin/deno`, wrapper(this.dir));
    Deno.writeTextFileSync(`${this.dir}/bin/pegasus`, '#!/bin/sh\nexec deno task "$@"\n');
    for (const name of ["deno", "pegasus"]) Deno.chmodSync(`${this.dir}/bin/${name}`, 0o755);
  }

  readonly #servers: { readonly line: string; readonly child: Deno.ChildProcess }[] = [];

  get #env(): Record<string, string> {
    return { PATH: `${this.dir}/bin:${Deno.env.get("PATH")}`, NO_COLOR: "1" };
  }

  /** Starts a server in the background, as it is written. @returns Its address, once it listens. */
  async serve(line: string): Promise<string> {
    const output = `${this.dir}/server-${this.#servers.length}.out`;
    const args = ["-c", `exec >${output} 2>&1; exec ${line}`];
    const child = new Deno.Command("bash", { args, cwd: this.dir, env: this.#env }).spawn();
    this.#servers.push({ line, child });
    let address: string | undefined;
    const said = () => Deno.readTextFileSync(output);
    let isOver = false;
    child.status.then(() => isOver = true);
    await waitFor(() => {
      address = existsSync(output) ? /^pegasus \w+ ready at (.*)$/m.exec(said())?.[1] : undefined;
      return address !== undefined || isOver;
    }, 60_000);
    assert.ok(address, `${line}\n${said()}`);
    return address;
  }

  /** Ends the servers in order, the last one first. */
  async endServers(): Promise<void> {
    while (this.#servers.length > 0) {
      const { line, child } = this.#servers.pop()!;
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended; its code tells how.
      }
      assert.equal((await child.status).code, 0, line);
    }
  }

  /** Runs lines as they are pasted; the first that fails ends it. @returns What they printed. */
  async paste(lines: string, more: Record<string, string> = {}): Promise<string> {
    const env = { ...this.#env, ...more };
    const args = ["-e", "-c", `exec 2>&1\n${lines}`];
    const { code, stdout } = await new Deno.Command("bash", { args, cwd: this.dir, env }).output();
    const said = new TextDecoder().decode(stdout);
    assert.equal(code, 0, `${lines}\n${said}\nDirectory: ${this.dir}`);
    return said;
  }

  /** Runs lines on a terminal where somebody answers each question, in order. @returns What was shown. */
  async converse(lines: string, answers: readonly string[]): Promise<string> {
    const file = `${this.dir}/conversation.sh`;
    Deno.writeTextFileSync(file, lines);
    const child = new Deno.Command("script", {
      args: ["-qec", `bash -e ${file}`, "/dev/null"],
      cwd: this.dir,
      env: this.#env,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const keys = child.stdin.getWriter();
    const decoder = new TextDecoder();
    let [said, asked] = ["", 0];
    for await (const chunk of child.stdout) {
      said += decoder.decode(chunk, { stream: true });
      const questions = said.match(/^(New password|The same|Password).*?: /gm)?.length ?? 0;
      for (; asked < questions; asked++) {
        await keys.write(new TextEncoder().encode(`${answers[asked] ?? ""}\r`));
      }
    }
    await keys.close().catch(() => {});
    assert.equal((await child.status).code, 0, `${lines}\n${said}`);
    assert.equal(asked, answers.length, said);
    for (const secret of answers) assert.ok(!said.includes(secret), `Shown: ${said}`);
    return said;
  }

  /** Address of the meta server. */
  get meta(): string {
    return readState(`${this.dir}/box`)!.servers[0]!.address;
  }
}

/** A port that nothing listens on at the moment. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** The fenced pieces in one section of a page, of what a terminal runs or of another language. */
export function blocksOf(page: string, section: string, language = "sh"): string[] {
  const text = Deno.readTextFileSync(`${ROOT}/${page}`).split(`## ${section}\n`)[1]!.split(
    "\n## ",
  )[0]!;
  const fence = new RegExp("```" + language + "\\n([\\s\\S]*?)```", "g");
  return [...text.matchAll(fence)].map((match) => match[1]!);
}

/** Runs a story in a terminal of its own; no server stays behind, and after a failure the files do. */
export async function inTerminal(story: (terminal: Terminal) => Promise<void>): Promise<void> {
  const terminal = new Terminal();
  try {
    await story(terminal);
  } finally {
    await terminal.endServers();
    await terminal.paste("deno task onebox stop || true");
  }
  Deno.removeSync(terminal.dir, { recursive: true });
}
