// The front page's ten minutes and the scripts of docs/examples, run as they stand: what people paste works. A
// wrapper called "deno" stands first in PATH and gives the onebox a directory and free ports of its own.

import assert from "node:assert/strict";
import { readState } from "../../roles/onebox/state.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** The wrapper: `deno task ROLE ...` runs this program with places of the test. */
function wrapper(dir: string): string {
  const meta = `sed -n 's/.*"address": "\\(.*\\)".*/\\1/p' ${dir}/box/onebox.json | head -n 1`;
  return [
    "#!/bin/sh",
    `[ "$1" = task ] || exec ${Deno.execPath()} "$@"`,
    "role=$2; shift 2",
    "case $role in",
    `  onebox) set -- "$@" --dir=${dir}/box; [ "$1" != start ] || set -- "$@" --port-base=0 ;;`,
    `  *) case "$*" in *--meta*) ;; *) set -- --meta="$(${meta})" "$@" ;; esac ;;`,
    "esac",
    `exec ${Deno.execPath()} run --quiet --no-prompt -A ${ROOT}/roles/main.ts "$role" "$@"`,
  ].join("\n");
}

class Terminal {
  readonly dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-manual-" }));

  constructor() {
    Deno.mkdirSync(`${this.dir}/bin`);
    Deno.writeTextFileSync(`${this.dir}/bin/deno`, wrapper(this.dir));
    Deno.chmodSync(`${this.dir}/bin/deno`, 0o755);
  }

  /** Runs lines as they are pasted; the first that fails ends it. @returns What they printed. */
  async paste(lines: string, more: Record<string, string> = {}): Promise<string> {
    const env = { PATH: `${this.dir}/bin:${Deno.env.get("PATH")}`, NO_COLOR: "1", ...more };
    const args = ["-e", "-c", `exec 2>&1\n${lines}`];
    const { code, stdout } = await new Deno.Command("bash", { args, cwd: this.dir, env }).output();
    const said = new TextDecoder().decode(stdout);
    assert.equal(code, 0, `${lines}\n${said}\nDirectory: ${this.dir}`);
    return said;
  }

  /** Address of the meta server. */
  get meta(): string {
    return readState(`${this.dir}/box`)!.servers[0]!.address;
  }
}

/** The pieces for a terminal in one section of a page. */
function blocksOf(page: string, section: string): string[] {
  const text = Deno.readTextFileSync(`${ROOT}/${page}`).split(`## ${section}\n`)[1]!.split(
    "\n## ",
  )[0]!;
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!);
}

/** Runs a story in a terminal of its own; no server stays behind, and after a failure the files do. */
async function inTerminal(story: (terminal: Terminal) => Promise<void>): Promise<void> {
  const terminal = new Terminal();
  try {
    await story(terminal);
  } finally {
    await terminal.paste("deno task onebox stop || true");
  }
  Deno.removeSync(terminal.dir, { recursive: true });
}

Deno.test("the ten minutes of the front page do what it says", async () => {
  const [start, data, failure, bench, look, end] = blocksOf("README.md", "Ten minutes");
  await inTerminal(async (terminal) => {
    assert.match(await terminal.paste(start!), /The cluster serves .*browser: http/s);
    assert.match(await terminal.paste(data!), /"Ada".*10000 rows stored.*10002 rows.*"row 7"/s);
    assert.match(await terminal.paste(failure!), /Killed r2.*"Grace".*Started r2/s);
    const short = bench!.replace(/--operations \d+/g, "--operations 500");
    assert.match(await terminal.paste(short), /0 errors.*0 errors/s);
    assert.match(await terminal.paste(look!), /meta_servers.*127\.0\.0\.1.*temp/s);
    assert.match(await terminal.paste(end!), /Stopped m1, r1, r2, r3.*Removed/s);
  });
});

Deno.test("the scripts export, import and restart a cluster", async () => {
  const scripts = `${ROOT}/docs/examples/scripts`;
  await inTerminal(async (terminal) => {
    await terminal.paste("deno task onebox start --detach");
    const env = { PEGASUS: "deno task", META: terminal.meta };
    const shell = (commands: string) => terminal.paste(`deno task shell -e "${commands}"`);
    await shell("create orders -p 3; use orders; set o1 a 'x y'; set o2 b z");
    assert.match(await terminal.paste(`${scripts}/export_all.sh out`, env), /Exported 2 tables/);
    await shell("drop orders --yes; use temp; set h s v");
    assert.match(await terminal.paste(`${scripts}/import_all.sh out`, env), /Imported 2 tables/);
    assert.match(await shell("use orders; get o1 a; ls"), /"x y".*orders +3 +3/s);
    const restart = "'deno task onebox stop-one @ && deno task onebox start-one @'";
    const said = await terminal.paste(`${scripts}/rolling_restart.sh ${restart} r1 r2 r3`, env);
    assert.match(said, /Started r1.*Started r2.*Started r3.*Restarted 3 servers/s);
    assert.match(await shell("use temp; get h s"), /"v"/);
  });
});
