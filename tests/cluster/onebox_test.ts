// The commands of the onebox with real servers: they find their servers however the directory is written, only one of
// them works on it at a time, and an interrupted start leaves nothing behind.

import assert from "node:assert/strict";
import { waitFor } from "../../roles/onebox/processes.ts";
import { readState } from "../../roles/onebox/state.ts";

const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;
const PERMISSIONS = ["read", "write", "net", "env", "sys", "ffi", "run"];
const SMALL = ["--detach", "--replicas=1", "--shards=1", "--port-base=0"];
const WAIT_MS = 60_000;

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A directory for a onebox, and the commands for it. */
class Place {
  /** Nothing is there yet. */
  readonly dir: string;
  readonly parent = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-onebox-" }));

  constructor() {
    this.dir = `${this.parent}/box`;
  }

  command(...words: readonly string[]): Deno.Command {
    const allowed = PERMISSIONS.map((name) => `--allow-${name}`);
    return new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", ...allowed, MAIN, "onebox", ...words],
      cwd: this.parent,
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    });
  }

  async onebox(...words: readonly string[]): Promise<Said> {
    const { code, stdout, stderr } = await this.command(...words).output();
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  }

  /** Output of a command that has to succeed. */
  async done(...words: readonly string[]): Promise<string> {
    const { code, out, err } = await this.onebox(...words);
    assert.equal(code, 0, `${words.join(" ")}: ${out}${err}`);
    return out;
  }

  /** Process ids of the servers of this directory, known to the state or not. */
  servers(): number[] {
    const { stdout } = new Deno.Command("ps", { args: ["-eo", "pid=,args="] }).outputSync();
    return new TextDecoder().decode(stdout).split("\n")
      .filter((line) => line.includes(`--data-dir=${this.dir}/`))
      .map((line) => Number.parseInt(line));
  }
}

async function inPlace(story: (place: Place) => Promise<void>): Promise<void> {
  const place = new Place();
  try {
    await story(place);
  } finally {
    for (const pid of place.servers()) Deno.kill(pid, "SIGKILL");
    await waitFor(() => place.servers().length === 0, WAIT_MS);
  }
  Deno.removeSync(place.parent, { recursive: true });
}

Deno.test("onebox finds its servers however the directory is written", async () => {
  await inPlace(async (place) => {
    const { dir, parent } = place;
    await place.done("start", ...SMALL, "--dir", dir);
    Deno.symlinkSync(dir, `${parent}/link`);
    const above = `../${parent.split("/").at(-1)}/box`;
    for (const written of [`${dir}/`, "box", "./box/", above, "link"]) {
      const servers = JSON.parse(await place.done("list", "--json", "--dir", written));
      const states = servers.map(({ state }: { state: string }) => state);
      assert.deepEqual(states, ["running", "running"], written);
    }
    const cleared = await place.onebox("clear", "--dir", `${dir}/`);
    assert.equal(cleared.code, 1);
    assert.match(cleared.err, /Stop the onebox first: m1, r1 still run/);
    assert.equal(await place.done("stop", "--dir", `${dir}/`), "Stopped m1, r1\n");
    assert.deepEqual(place.servers(), []);
    await place.done("start", ...SMALL, "--dir", "./box/");
    assert.equal(await place.done("stop", "--dir", "box"), "Stopped m1, r1\n");
    assert.deepEqual(place.servers(), []);
  });
});

Deno.test("onebox starts its servers once when it is started twice at a time", async () => {
  await inPlace(async (place) => {
    const start = () => place.onebox("start", ...SMALL, "--dir", place.dir);
    const said = await Promise.all([start(), start()]);
    assert.deepEqual(said.map(({ code }) => code).sort(), [0, 1], JSON.stringify(said));
    const refused = said.find(({ code }) => code === 1)!;
    assert.match(refused.err, /^A onebox runs in ".*box" \(m1, r1\)/m);
    const known = readState(place.dir)!.servers.map(({ pid }) => pid);
    assert.deepEqual(place.servers().sort(), known.sort());
    // Both want the same server: one starts it.
    await place.done("kill", "1", "--dir", place.dir);
    const again = () => place.onebox("start-one", "1", "--dir", place.dir);
    const codes = (await Promise.all([again(), again()])).map(({ code }) => code);
    assert.deepEqual(codes.sort(), [0, 1]);
    await place.done("stop", "--dir", place.dir);
    assert.deepEqual(place.servers(), []);
  });
});

Deno.test("onebox tells with --json what there is after a change", async () => {
  await inPlace(async (place) => {
    const json = async (...words: string[]) =>
      JSON.parse(await place.done(...words, "--json", "--dir", "box"));
    const states = (servers: { name: string; state: string }[]) =>
      servers.map(({ name, state }) => `${name} ${state}`);
    assert.deepEqual(states(await json("start", ...SMALL)), ["m1 running", "r1 running"]);
    assert.deepEqual(states([await json("kill", "1")]), ["r1 stopped"]);
    assert.deepEqual(states([await json("start-one", "1")]), ["r1 running"]);
    assert.deepEqual(states([await json("stop-one", "1")]), ["r1 stopped"]);
    assert.deepEqual(states(await json("stop")), ["m1 stopped", "r1 stopped"]);
    assert.deepEqual(await json("clear"), { removed: place.dir, coordinator: "embedded" });
  });
});

Deno.test("onebox start that is interrupted while it starts leaves nothing behind", async () => {
  await inPlace(async (place) => {
    const words = SMALL.filter((word) => word !== "--detach");
    const child = place.command("start", ...words, "--dir", place.dir).spawn();
    const isStarting = () => (readState(place.dir)?.servers[0]?.pid ?? 0) > 0;
    assert(await waitFor(isStarting, WAIT_MS), "m1 does not start");
    child.kill("SIGINT");
    const { code, stdout, stderr } = await child.output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.equal(code, 0, said);
    assert.match(said, /^Stopped; the data stays$/m);
    assert.deepEqual(place.servers(), []);
  });
});
