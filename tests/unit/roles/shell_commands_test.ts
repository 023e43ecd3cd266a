// The shell against the fake cluster: every command, JSON, exit statuses, import and export.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import type { ShellIo } from "../../../roles/shell/io.ts";
import { runShell, shellMarkdown } from "../../../roles/shell/main_shell.ts";
import { COMMANDS } from "../../../roles/shell/runner.ts";
import { FakeCluster } from "../client/fake_cluster.ts";

/** A shell, its cluster and its files in memory. */
class Bench {
  readonly fake = new FakeCluster();
  readonly files = new Map<string, string>();
  out = "";
  err = "";
  input = "";

  constructor() {
    this.fake.addTable("t", 4);
  }

  readonly io: ShellIo = {
    out: (text) => void (this.out += text),
    err: (text) => void (this.err += text),
    inputIsTerminal: false,
    errIsTerminal: false,
    useColour: false,
    readInput: () => Promise.resolve(this.input),
    openFile: (path) => {
      const text = this.files.get(path);
      if (text === undefined) return Promise.reject(new Error(`No such file: ${path}`));
      return Promise.resolve({ size: text.length, chunks: ReadableStream.from([utf8(text)]) });
    },
    createFile: (path) => {
      let whole = "";
      return Promise.resolve({
        write: (text) => Promise.resolve(void (whole += text)),
        close: () => Promise.resolve(void this.files.set(path, whole)),
        discard: () => Promise.resolve(),
      });
    },
  };

  /** Runs commands; returns status and what was printed since. */
  async run(...args: string[]): Promise<[status: number, out: string, err: string]> {
    this.out = "";
    this.err = "";
    this.fake.closed = false;
    const status = await runShell(args, {
      io: this.io,
      open: (options) => new Cluster(this.fake, options),
    });
    return [status, this.out, this.err];
  }

  /** Runs commands on table t. */
  exec(text: string, ...flags: string[]) {
    return this.run("--table", "t", ...flags, "-e", text);
  }
}

Deno.test("shell stores, reads and removes rows", async () => {
  const shell = new Bench();
  assert.deepEqual(await shell.exec('set h s "v 1"; get h s; ttl h s; exist h s'), [
    0,
    'OK\n"v 1"\nInfinite\nTrue\n',
    "",
  ]);
  assert.deepEqual(await shell.exec("set h \\x00\\xff 'bin\\x01' 100; get h \\x00\\xff"), [
    0,
    'OK\n"bin\\x01"\n',
    "",
  ]);
  const [, life] = await shell.exec("ttl h \\x00\\xff");
  assert.match(life, /^(100|99)\n$/);
  assert.deepEqual(await shell.exec("del h s; get h s"), [1, "OK\nNot found\n", ""]);
  assert.deepEqual(await shell.exec("ttl h s"), [1, "Not found\n", ""]);
});

Deno.test("shell works on several rows and ranges", async () => {
  const shell = new Bench();
  await shell.exec("multi_set h a 1 b 2 c 3 d 4");
  assert.equal((await shell.exec("multi_get h b d"))[1], '"h" : "b" => "2"\n"h" : "d" => "4"\n');
  assert.equal(
    (await shell.exec("multi_get_range h b d -b true -i"))[1],
    '"h" : "b"\n"h" : "c"\n"h" : "d"\n',
  );
  assert.equal((await shell.exec("multi_get_sortkeys h -n 2"))[1], '"h" : "a"\n"h" : "b"\n');
  assert.equal((await shell.exec("count h"))[1], "4\n");
  assert.equal((await shell.exec("scan h b -s postfix -y c"))[1], '"h" : "c" => "3"\n');
  assert.equal(
    (await shell.exec("hash_scan h -n 1 --start_inclusive=false a"))[1],
    '"h" : "b" => "2"\n',
  );
  assert.equal((await shell.exec("multi_del h a"))[1], "OK, 1 sort key\n");
  assert.equal((await shell.exec("multi_del_range h b d"))[1], "OK, 2 rows removed\n");
  assert.equal((await shell.exec("full_scan"))[1], '"h" : "d" => "4"\n');
  assert.equal((await shell.exec("full_scan -o out.txt"))[1], "");
  assert.equal(shell.files.get("out.txt"), '"h" : "d" => "4"\n');
  assert.equal((await shell.exec("count_data -c"))[1], "1 row\n");
  assert.equal((await shell.exec("count_data -d -h exact -x nope"))[1], "0 rows, 0 hash keys\n");
});

Deno.test("shell takes an option whose value is quoted as an option", async () => {
  const shell = new Bench();
  shell.fake.addTable("other");
  await shell.exec("multi_set u name 1 age 2; multi_set u name 3 age 4 --table other");
  assert.equal((await shell.exec(`multi_del u name --table="other"`))[0], 0);
  assert.equal((await shell.exec("get u name"))[1], '"1"\n');
  assert.equal((await shell.exec("get u name --table='other'"))[0], 1);
  assert.equal(
    (await shell.exec(`set u "--table=other" x; get u "--table=other"`))[1],
    'OK\n"x"\n',
  );
  assert.match((await shell.exec(`set u s --tabel="other"`))[2], /did you mean "--table"/);
});

Deno.test("shell increments and checks", async () => {
  const shell = new Bench();
  assert.equal((await shell.exec("incr h n; incr h n -5; incr h n +10"))[1], "1\n-4\n6\n");
  assert.deepEqual(
    (await shell.exec("check_and_set h -c n -t int_less -o 7 -v 100 -r; get h n")).slice(0, 2),
    [0, 'OK\nThe checked value is "6"\n"100"\n'],
  );
  assert.deepEqual((await shell.exec("check_and_set h -c n -t not_exist -s m -v 1")).slice(0, 2), [
    1,
    "Not done: the check failed\n",
  ]);
  await shell.exec("check_and_mutate h -c n -t exist put x 1 put y 2 del n");
  assert.equal((await shell.exec("multi_get_sortkeys h"))[1], '"h" : "x"\n"h" : "y"\n');
  assert.equal((await shell.exec("check_and_mutate h -c x -t exist put x"))[0], 2);
});

Deno.test("shell answers one JSON value per command", async () => {
  const shell = new Bench();
  const json = async (text: string) => {
    const [status, out] = await shell.exec(text, "--json", "--keep-going");
    return [status, out.trim().split("\n").map((line) => JSON.parse(line) as unknown)];
  };
  assert.deepEqual(await json("set h s \\xff; get h s; get h zz; exist h s; exit"), [
    1,
    ["OK", { base64: "/w==" }, null, true],
  ]);
  await shell.exec("multi_set h a 1 b 2");
  assert.deepEqual(await json("multi_get h a b nope; scan nope"), [0, [[
    { hash_key: "h", sort_key: "a", value: "1" },
    { hash_key: "h", sort_key: "b", value: "2" },
  ], []]]);
  assert.deepEqual(await json("get h; use nope"), [2, [
    { error: { code: "USAGE", outcome: "not done", message: "<sort_key> is missing" } },
    {
      error: {
        code: "APP_NOT_EXIST",
        outcome: "not done",
        message: 'No such table; "ls" lists the tables',
      },
    },
  ]]);
  shell.fake.fault = ({ name }) => name === "put" ? { after: Err.OUTCOME_UNKNOWN } : undefined;
  const [status, [failed]] = await json("timeout 60; set h s v") as [number, unknown[]];
  assert.equal(status, 1);
  assert.equal(failed, 60);
  const [, out] = await shell.exec("timeout 60; set h s v", "--json");
  assert.match(out, /"code":"TIMEOUT","outcome":"unknown"/);
});

Deno.test("shell manages tables", async () => {
  const shell = new Bench();
  assert.equal(
    (await shell.run("-e", "create users -p 2 -r 3 -e default_ttl=60,a=b"))[1],
    "OK, table 2\n",
  );
  const [, listed] = await shell.run("-e", "ls -d");
  assert.match(listed, /^app_id +status +app_name +partition_count/);
  assert.match(listed, /2 +available +users +2 +3 +2023-11-14 22:13:20Z/);
  assert.equal(
    (await shell.run("-e", "use users; get_app_envs"))[1],
    'OK, using "users"\na           : b\ndefault_ttl : 60\n',
  );
  assert.equal((await shell.run("-e", "del_app_envs --table users a"))[1], "default_ttl : 60\n");
  assert.equal(
    (await shell.run("-e", "set_app_envs --table users x 1 y 2; clear_app_envs -a -y"))[0],
    2,
  );
  const [, app] = await shell.run("--json", "-e", "app users -d");
  const described = JSON.parse(app) as { partitions: { gpid: string }[]; nodes: unknown[] };
  assert.deepEqual(described.partitions.map((p) => p.gpid), ["2.0", "2.1"]);
  assert.equal(described.nodes.length, 3);
  assert.match((await shell.run("-e", "app users"))[1], /fully_healthy_partition_count +: 2/);
  assert.equal(
    (await shell.run("-e", "rename users people; set_replica_count people 2 --yes"))[1],
    "OK\nOK, it was 3\n",
  );
  assert.match((await shell.run("-e", "drop people -y"))[1], /kept until 2027/);
  assert.equal((await shell.run("-e", "recall 2 again"))[1], 'OK, table "again"\n');
  assert.equal((await shell.run("-e", "create again -f"))[0], 1);
});

Deno.test("shell describes cluster, nodes and keys", async () => {
  const shell = new Bench();
  assert.match((await shell.run("-e", "cluster_info"))[1], /primary_meta_server +: m1:1|m1:1/);
  const [, nodes, note] = await shell.run("-e", "nodes -d -s alive");
  assert.match(nodes, /n1:1 +ALIVE +4 +2 +2 +- +- +- +1 +8080 +120/);
  assert.doesNotMatch(nodes, /n3/);
  assert.equal(note, "3 nodes, 2 alive, 1 unalive\n");
  assert.match((await shell.exec("hash hello ''"))[1], /key_hash +: 3708579534351778391/);
  assert.match((await shell.exec("hash hello ''"))[1], /partition_index : 3/);
  assert.equal(
    (await shell.run("-e", "get_meta_level; set_meta_level lively"))[1],
    "steady\nOK, it was steady\n",
  );
  assert.equal(
    (await shell.run("-e", "propose 1.3 ADD_SECONDARY n3:1"))[1],
    "OK, proposed for 1.3\n",
  );
  await shell.run("-e", "nodes -o n.txt");
  assert.match(shell.files.get("n.txt")!, /n3:1 +UNALIVE/);
});

Deno.test("shell balances and drains", async () => {
  const shell = new Bench();
  const plan = (await shell.run("-e", "balance --dry-run"))[1];
  assert.match(plan, /1\.3 +copySecondary +n1:1 +n2:1/);
  assert.doesNotMatch(plan, /OK/);
  assert.match(
    (await shell.run("-e", "balance"))[1],
    /copySecondary[^]*OK, after 1 move in 0 s\n$/,
  );
  const json = JSON.parse((await shell.run("-e", "balance --dry-run --json"))[1]);
  assert.deepEqual(json.moves, [
    { partition: "1.3", move: "copySecondary", from: "n1:1", to: "n2:1" },
  ]);
  const planned = json.servers.map((row: Record<string, unknown>) => row["planned_replicas"]);
  const now = json.servers.map((row: Record<string, unknown>) => row["replicas"]);
  assert.deepEqual([planned[0] - now[0], planned[1] - now[1]], [-1, 1]);
  assert.equal((await shell.run("-e", "balance --stop"))[1], "OK, stopped\n");
  const one = "balance -g 1.3 -p move_pri -f n1:1 -t n2:1";
  assert.match((await shell.run("-e", one))[1], /^OK, 1\.3 has moved/);
  assert.match((await shell.run("-e", "balance -g 1.3 -p move_pri"))[2], /needs all of/);
  assert.match((await shell.run("-e", `${one}x -p steal`))[2], /move_pri, copy_pri, copy_sec/);
  assert.match((await shell.run("-e", "drain n1:1 --no-wait"))[1], /n1:1 is being drained/);
  assert.match((await shell.run("-e", "undrain n1:1"))[1], /^OK; "balance"/);
  assert.equal((await shell.run("-e", "forget_node n1:1"))[1], "OK, n1:1 is forgotten\n");
});

Deno.test("shell helps, suggests and tells usage errors from failures", async () => {
  const shell = new Bench();
  for (const command of COMMANDS) {
    const [status, out] = await shell.run("-e", `help ${command.name}`);
    assert.equal(status, 0);
    assert.ok(out.includes(command.brief), command.name);
    for (const flag of command.flags) assert.ok(out.includes(`--${flag.name}`), flag.name);
  }
  assert.match(
    (await shell.run("-e", "gett h s"))[2],
    /Unknown command "gett"; did you mean "get"\?/,
  );
  assert.deepEqual(await shell.run("-e", "get h s"), [
    2,
    "",
    'ERROR: No table is chosen: say "use TABLE" first, or add --table TABLE\n' +
    'Usage: get <hash_key> <sort_key> [options]; "help get" tells more\n',
  ]);
  assert.match((await shell.run("-e", "ls --statu all"))[2], /did you mean "--status"\?/);
  assert.match((await shell.exec("get h s extra"))[2], /Unexpected "extra"/);
  assert.match((await shell.exec("set h s v abc"))[2], /<ttl> is "abc", expected a whole number/);
  assert.match((await shell.exec("set h s v -7"))[2], /TTL is -7/);
  assert.match((await shell.exec("get 'h"))[2], /A closing ' is missing/);
  assert.equal((await shell.run("--mta", "a:1"))[0], 2);
  assert.match((await shell.run("--mta", "a:1"))[2], /did you mean "--meta"/);
  assert.deepEqual(await shell.run("--json=true"), [2, "", "--json takes no value\n"]);
  assert.equal((await shell.run("--meta", "nohost"))[0], 2);
  assert.equal((await shell.run("--timeout", "0"))[0], 2);
  assert.match((await shell.run("--help"))[1], /--keep-going/);
});

Deno.test("shell script from standard input stops at the first failure unless told otherwise", async () => {
  const shell = new Bench();
  shell.input = "use t\nset h s v\nuse nope # fails\nget h s\n";
  assert.deepEqual((await shell.run()).slice(0, 2), [1, 'OK, using "t"\nOK\n']);
  assert.deepEqual((await shell.run("--keep-going")).slice(0, 2), [
    1,
    'OK, using "t"\nOK\n"v"\n',
  ]);
});

Deno.test("shell imports what it exported", async () => {
  const shell = new Bench();
  await shell.exec("multi_set h a 1 b \\xff\\x00; set '键' '' 'x,\"y\"' 500");
  for (const name of ["rows.jsonl", "rows.csv"]) {
    assert.match((await shell.exec(`export ${name}`))[1], /^3 rows written/);
    shell.fake.addTable(name);
    const [status, out] = await shell.run("--table", name, "-e", `import ${name} -c 2`);
    assert.equal(status, 0);
    assert.match(out, /^3 rows stored \(/);
    const all = (table: string) => shell.run("--table", table, "-e", "full_scan");
    const sorted = (text: string) => text.split("\n").sort();
    assert.deepEqual(sorted((await all(name))[1]), sorted((await all("t"))[1]));
    const [, life] = await shell.run("--table", name, "-e", "ttl 键 ''");
    assert.match(life, /^(500|499|498)\n$/);
  }
});

Deno.test("shell import names bad lines, goes on, or stops when told to", async () => {
  const shell = new Bench();
  shell.files.set(
    "f.jsonl",
    ['{"hash_key":"a","value":"1"}', "broken", '{"hash_key":"b","value":"2"}'].join("\n"),
  );
  const [status, out, err] = await shell.exec("import f.jsonl");
  assert.equal(status, 1);
  assert.match(out, /^2 rows stored, 1 line failed/);
  assert.match(err, /^Line 2: /);
  shell.fake.addTable("u");
  const stopped = await shell.run("--table", "u", "-e", "import f.jsonl --stop_on_error -c 1");
  assert.equal(stopped[0], 1);
  assert.match(stopped[1], /^1 row stored, 1 line failed/);
  const json = await shell.exec("import f.jsonl", "--json");
  const value = JSON.parse(json[1]) as {
    rows: number;
    failed: number;
    problems: { line: number }[];
  };
  assert.deepEqual([value.rows, value.failed, value.problems[0]!.line], [2, 1, 2]);
  assert.equal((await shell.exec("import nope.jsonl"))[0], 1);
  const wide = await shell.exec("import f.jsonl -c 1000000000");
  assert.deepEqual([wide[0], /expected 1 to 10000/.test(wide[2])], [2, true]);
});

Deno.test("shell says when the fate of a write is unknown, and only then", async () => {
  const shell = new Bench();
  shell.fake.fault = ({ name }) =>
    name === "put" || name === "get" ? { after: Err.OUTCOME_UNKNOWN } : undefined;
  const write = await shell.exec("set h s v", "--timeout", "80");
  assert.match(write[2], /It is not known whether it was done/);
  const read = await shell.exec("get h s", "--timeout", "80");
  assert.equal(read[0], 1);
  assert.doesNotMatch(read[2], /It is not known/);
});

Deno.test("shell page documents every command", () => {
  const page = shellMarkdown();
  for (const command of COMMANDS) assert.ok(page.includes(`### ${command.name}\n`), command.name);
  assert.ok([...page].every((char) => char.charCodeAt(0) < 128));
});
