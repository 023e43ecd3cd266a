// A real file through the real executable: the records of the system's packages in, out again byte for byte, and in
// sort-key order. Machines without such records get made-up ones of the same shape.

import assert from "node:assert/strict";
import { withCluster } from "./harness.ts";

const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;
const PERMISSIONS = ["read", "write", "net", "env", "sys", "ffi"].map((name) => `--allow-${name}`);

interface Row {
  readonly hash_key: string;
  readonly sort_key: string;
  readonly value: string;
}

function records(): Row[] {
  let text = "";
  try {
    text = Deno.readTextFileSync("/var/lib/dpkg/status");
  } catch {
    // Not a Debian system.
  }
  const rows = text.split("\n\n").flatMap((value) => {
    const name = /^Package: (.*)$/m.exec(value)?.[1];
    const section = /^Section: (.*)$/m.exec(value)?.[1] ?? "none";
    return name === undefined ? [] : [{ hash_key: section, sort_key: name, value }];
  });
  if (rows.length >= 50) return rows;
  return Array.from({ length: 500 }, (_, i) => ({
    hash_key: `section${i % 7}`,
    sort_key: `package${i}`,
    value: `Package: package${i}\nDescription: \u00e9\u4e2d "quoted" ${"x".repeat(i)}\n`,
  }));
}

async function shell(meta: string, ...args: string[]) {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...PERMISSIONS,
      MAIN,
      "shell",
      `--meta=${meta}`,
      ...args,
    ],
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("The shell imports, counts, scans and exports a real file", async () => {
  await withCluster({}, async (cluster) => {
    const rows = records();
    const file = `${cluster.dir}/in.jsonl`;
    const copy = `${cluster.dir}/out.jsonl`;
    Deno.writeTextFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n") + "\n");
    const meta = cluster.metas.join(",");

    const created = await shell(meta, "-e", `create packages -p 8; use packages; import ${file}`);
    assert.equal(created.code, 0, created.err + created.out);
    const counted = await shell(meta, "-e", "use packages; count_data -c");
    assert.match(counted.out, new RegExp(`\\b${rows.length}\\b`));

    const section = rows[0]!.hash_key;
    const listed = await shell(meta, "--json", "-e", `use packages; hash_scan "${section}"`);
    assert.equal(listed.code, 0, listed.err);
    const last = JSON.parse(listed.out.trim().split("\n").at(-1)!);
    const found = (Array.isArray(last) ? last : last.rows) as Row[];
    const wanted = rows.filter((row) => row.hash_key === section).map((row) => row.sort_key).sort();
    assert.deepEqual(found.map((row) => row.sort_key), wanted);

    const exported = await shell(meta, "-e", `use packages; export ${copy}`);
    assert.equal(exported.code, 0, exported.err);
    const read = new Map<string, string>();
    for (const line of Deno.readTextFileSync(copy).trim().split("\n")) {
      const row = JSON.parse(line) as Row;
      read.set(`${row.hash_key}/${row.sort_key}`, row.value);
    }
    assert.equal(read.size, rows.length);
    for (const row of rows) assert.equal(read.get(`${row.hash_key}/${row.sort_key}`), row.value);
  });
});

Deno.test("The shell tells scripts by its exit code what happened", async () => {
  await withCluster({}, async (cluster) => {
    const meta = cluster.metas.join(",");
    await cluster.createTable("temp", 4, 3);
    assert.equal((await shell(meta, "-e", "use temp; set h s v; get h s")).code, 0);
    assert.equal((await shell(meta, "-e", "use temp; get h missing")).code, 1);
    assert.equal((await shell(meta, "-e", "use temp; gett h s")).code, 2);
    assert.equal((await shell(meta, "--unknown")).code, 2);
    const gone = await shell("127.0.0.1:1", "--timeout=500", "-e", "ls");
    assert.equal(gone.code, 1);
  });
});
