// What the runner does around commands: confirmation, files, watching, Ctrl-C, several clusters.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { Connections, readClusters } from "../../../roles/shell/connections.ts";
import { HistorySearch } from "../../../roles/shell/history_search.ts";
import type { ShellIo } from "../../../roles/shell/io.ts";
import { Runner } from "../../../roles/shell/runner.ts";
import { FakeCluster } from "../client/fake_cluster.ts";

/** A prompt in memory: a runner, what it printed, what it is answered, and what it reads from files. */
function openPrompt(answer: string | undefined, file?: string) {
  const fakes = new Map<string, FakeCluster>();
  const files = new Map<string, string>();
  const printed = { out: "", err: "", asked: "" };
  const io: ShellIo = {
    out: (text) => void (printed.out += text),
    err: (text) => void (printed.err += text),
    inputIsTerminal: true,
    errIsTerminal: false,
    useColour: false,
    readInput: () => Promise.resolve(""),
    ask: (question) => {
      printed.asked += question;
      return Promise.resolve(answer);
    },
    openFile: () =>
      file === undefined
        ? Promise.reject(new Error("No files here"))
        : Promise.resolve({ size: 0, chunks: ReadableStream.from([utf8(file)]) }),
    createFile: (path) => {
      let whole = "";
      return Promise.resolve({
        write: (text) => Promise.resolve(void (whole += text)),
        close: () => Promise.resolve(void files.set(path, whole)),
        discard: () => Promise.resolve(),
      });
    },
  };
  const open = (meta: readonly string[]) => {
    const fake = new FakeCluster();
    fake.leader = meta[0]!;
    fake.addTable(`of ${meta}`);
    fakes.set(meta[0]!, fake);
    return new Cluster(fake, { meta });
  };
  const connections = new Connections(
    open,
    ["m1:1"],
    readClusters("east e1:1,e2:1 # far away\n\n"),
  );
  const state = {
    tableName: "of m1:1",
    timeoutMs: 1000,
    escapeAll: false,
    json: false,
    yes: false,
    isLeaving: false,
  };
  const runner = new Runner(io, connections, state);
  return { runner, printed, files, fakes, connections };
}

Deno.test("a command that destroys something asks, and scripts have to say --yes", async () => {
  const agreed = openPrompt("y");
  assert.equal(await agreed.runner.run("drop 'of m1:1'", false), 0);
  assert.equal(agreed.printed.asked, 'Drop table "of m1:1"? [y/N] ');
  const refused = openPrompt("");
  assert.equal(await refused.runner.run("drop 'of m1:1'", false), 1);
  assert.equal(refused.printed.err, "ERROR: Nothing was done\n");
  assert.ok(refused.fakes.get("m1:1")!.calls.every(({ name }) => name !== "drop_table"));
  const script = openPrompt(undefined);
  assert.equal(await script.runner.run("drop 'of m1:1'", false), 2);
  assert.match(script.printed.err, /add --yes/);
  assert.equal(await script.runner.run("drop 'of m1:1' --yes", false), 0);
  assert.equal(script.printed.asked.split("Drop").length, 2, "--yes is not asked");
  const harmless = openPrompt(undefined);
  assert.equal(await harmless.runner.run("multi_del_range h a b; clear_app_envs -p x", false), 0);
});

Deno.test("--output and --json belong to every command", async () => {
  const { runner, printed, files } = openPrompt(undefined);
  await runner.run("set h s v; get h s -j; get h s -o one.txt; full_scan -j -o all.json", false);
  assert.equal(printed.out, 'OK\n"v"\n{"file":"all.json"}\n');
  assert.equal(printed.err, "Written to one.txt\n");
  assert.equal(files.get("one.txt"), '"v"\n');
  assert.deepEqual(JSON.parse(files.get("all.json")!), [
    { hash_key: "h", sort_key: "s", value: "v" },
  ]);
  printed.out = "";
  await runner.run("get h -j", false);
  assert.match(printed.out, /"code":"USAGE"/, "errors are JSON too");
});

/** A scan gets its first rows and then no more, however it is begun. */
function failFromSecondBatch(): FakeCluster["fault"] {
  let hasFailed = false;
  return ({ name }) => {
    hasFailed ||= name === "scan";
    return hasFailed ? { before: Err.INVALID_ARGUMENT } : undefined;
  };
}

Deno.test("a failure is told on standard output if the rows before it are in a file", async () => {
  const { runner, printed, files, fakes } = openPrompt(undefined);
  const fake = fakes.get("m1:1")!;
  fake.scanBatch = 1;
  await runner.run("multi_set h a 1 b 2 c 3; full_scan -j -o all.json", false);
  const before = files.get("all.json");
  fake.fault = failFromSecondBatch();
  printed.out = "";
  assert.equal(await runner.run("full_scan -j -o all.json", false), 1);
  assert.equal(JSON.parse(printed.out).error.code, "INVALID_ARGUMENT");
  assert.equal(printed.err, "");
  assert.equal(files.get("all.json"), before, "the file is as it was");
  printed.out = "";
  fake.fault = failFromSecondBatch();
  assert.equal(await runner.run("full_scan -j", false), 1);
  assert.match(printed.out, /^\[\{.*\]\n$/, "rows that are out keep the place");
  assert.match(printed.err, /"INVALID_ARGUMENT"/);
});

Deno.test("--watch runs again until Ctrl-C, and goes on after a failure", async () => {
  const { runner, printed, fakes } = openPrompt(undefined);
  const fake = fakes.get("m1:1")!;
  let rounds = 0;
  fake.fault = ({ name }) => {
    if (name !== "get") return undefined;
    rounds++;
    if (rounds === 3) runner.interrupt();
    return rounds === 2 ? { before: 9, detail: "no" } : undefined;
  };
  await runner.run("set h s v", false);
  const running = runner.run("get h s --watch 1; set never done", true);
  assert.ok(runner.isRunning);
  await running;
  assert.equal(rounds, 3);
  assert.match(printed.out, /^OK\n"v"\n/);
  assert.match(printed.err, /ERROR/);
  assert.ok(!runner.isRunning);
  assert.equal(fake.calls.filter(({ name }) => name === "put").length, 1, "the line ends too");
  assert.equal(await runner.run("get h s --watch 0", false), 2);
  assert.equal(await runner.run("set h s v --watch 1", false), 2, "changes are not repeated");
});

Deno.test("Ctrl-C leaves a command behind that does not end, and it stays silent", async () => {
  const { runner, printed, fakes } = openPrompt(undefined);
  const fake = fakes.get("m1:1")!;
  let release = () => {};
  const released = new Promise<void>((resolve) => release = resolve);
  const start = fake.startEncoded.bind(fake);
  fake.startEncoded = (...call) => {
    if (call[1].name === "put") void released.then(() => start(...call));
    else start(...call);
  };
  const running = runner.run("set h s v", false);
  setTimeout(() => runner.interrupt(), 10);
  assert.equal(await running, 1);
  assert.equal(printed.err, "ERROR: Interrupted\nIt is not known whether it was done\n");
  release();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(printed.out, "");
});

Deno.test("cc changes to a cluster by name or address", async () => {
  const { runner, printed, fakes, connections } = openPrompt(undefined);
  assert.equal(await runner.run("cc", false), 0);
  assert.match(printed.out, /\* +m1:1\n +east +e1:1,e2:1\n/);
  assert.equal(await runner.run("cc east; get h s", false), 2, "the table is forgotten");
  assert.match(printed.out, /OK, talking to east\n$/);
  assert.equal(fakes.get("m1:1")!.closed, true);
  assert.equal(await runner.run("cc eest", false), 1);
  assert.match(printed.err, /Unknown cluster "eest"; did you mean "east"\?/);
  assert.equal(connections.name, "east");
  assert.throws(() => readClusters("x nothing"), /Line 1 .* expected NAME HOST:PORT/);
});

Deno.test("a long command ends what it has begun after Ctrl-C, and at once after the second", async () => {
  const { runner, printed, fakes } = openPrompt(undefined);
  const fake = fakes.get("m1:1")!;
  await runner.run("set h s v; create copy -p 1", false);
  fake.fault = ({ name }) => {
    if (name === "put") runner.interrupt();
    return undefined;
  };
  assert.equal(await runner.run("copy_data copy", false), 1);
  assert.match(printed.err, /ERROR: Interrupted after 1 row\n/);
  printed.err = "";
  fake.fault = ({ name }) => {
    if (name !== "put") return undefined;
    runner.interrupt();
    setTimeout(() => runner.interrupt(), 1);
    return { silent: true };
  };
  assert.equal(await runner.run("copy_data copy", false), 1);
  assert.match(printed.err, /^ERROR: Interrupted\nIt is not known whether it was done\n/);
});

Deno.test("an import that is left behind says that nobody knows what it stored", async () => {
  const { runner, printed, fakes } = openPrompt(undefined, '{"hash_key":"h","value":"v"}\n');
  fakes.get("m1:1")!.fault = ({ name }) => {
    if (name !== "put") return undefined;
    runner.interrupt();
    setTimeout(() => runner.interrupt(), 1);
    return { silent: true };
  };
  assert.equal(await runner.run("import rows.jsonl -j", false), 1);
  assert.equal(JSON.parse(printed.out).error.outcome, "unknown");
});

Deno.test("check_and_mutate asks for changes line by line, as the original does", async () => {
  const { runner, printed } = openPrompt(undefined);
  const typed = (...lines: string[]) => runner.ask = () => Promise.resolve(lines.shift());
  typed("set a 1", "nonsense", "set b 2 1000 x", "set b 'two words' 1000", "del c", "", "ok");
  assert.equal(await runner.run("set h c 3; check_and_mutate h -c c -t exist; ttl h b", false), 0);
  assert.match(printed.out, /OK\nOK\n(1000|999)\n$/);
  assert.match(printed.err, /at "nonsense"; say a change on each line/);
  printed.out = "";
  await runner.run("multi_get h", false);
  assert.equal(printed.out, '"h" : "a" => "1"\n"h" : "b" => "two words"\n');
  typed("ok", "del a", "abort");
  assert.equal(await runner.run("check_and_mutate h -c a -t exist; get h a", true), 1);
  assert.match(printed.err, /There is no change yet\nERROR: Nothing was done\n$/);
  assert.match(printed.out, /"1"\n$/);
  typed();
  assert.equal(await runner.run("check_and_mutate h -c a -t exist", false), 2);
});

Deno.test("HistorySearch walks back through the history while its needle is typed", () => {
  const lines = ["get a b", "use temp", "get a c", "ls"];
  const search = new HistorySearch(lines, "");
  search.type("g");
  assert.deepEqual([search.found, search.isMatch], ["get a b", true]);
  search.type("et a");
  assert.equal(search.found, "get a b");
  search.older();
  assert.equal(search.found, "get a c");
  search.older();
  assert.deepEqual([search.found, search.isMatch], ["get a c", false], "there is no older one");
  search.type("x");
  assert.deepEqual([search.found, search.needle, search.isMatch], ["get a c", "get ax", false]);
  search.erase();
  assert.deepEqual([search.found, search.needle, search.isMatch], ["get a b", "get a", true]);
  assert.equal(new HistorySearch(lines, "temp").found, "use temp", "what stood there begins it");
  assert.equal(new HistorySearch([], "temp").found, "temp");
});

Deno.test("a misspelt table gets a suggestion", async () => {
  const { runner, printed } = openPrompt(undefined);
  assert.equal(await runner.run("use 'of m1:2'", false), 1);
  assert.match(printed.err, /did you mean "of m1:1"\?/);
  assert.equal(await runner.run("incr h s x; set h s word; incr h s", true), 2);
});
