// The executable as people and scripts call it: roles, help, versions, mistakes and exit codes.

import assert from "node:assert/strict";
import { V8_FLAGS } from "../../roles/v8_flags.ts";
import { VERSION } from "../../roles/version.ts";

const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;
const PERMISSIONS = ["read", "write", "net", "env", "sys", "ffi"].map((name) => `--allow-${name}`);

async function pegasus(...args: string[]) {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...PERMISSIONS, MAIN, ...args],
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("pegasus --help lists the roles, and each role has its own help", async () => {
  const { code, out } = await pegasus("--help");
  assert.equal(code, 0);
  const roles = [...out.matchAll(/^ {2}(\w+) {2,}/gm)].map((match) => match[1]!);
  assert(roles.includes("onebox"), out);
  for (const role of roles) {
    const help = await pegasus(role, "--help");
    assert.equal(help.code, 0, `${role}: ${help.err}`);
    assert.match(help.out, /usage/i, role);
  }
});

Deno.test("The task and the image start a replica server as the onebox does", () => {
  for (const file of ["deno.json", "Dockerfile"]) {
    const text = Deno.readTextFileSync(new URL(`../../${file}`, import.meta.url));
    assert(text.includes(V8_FLAGS), `${file} lacks "${V8_FLAGS}" (roles/v8_flags.ts)`);
  }
});

Deno.test("pegasus --version tells the version of deno.json", async () => {
  const config = Deno.readTextFileSync(new URL("../../deno.json", import.meta.url));
  assert.equal(VERSION, JSON.parse(config).version);
  const { code, out } = await pegasus("--version");
  assert.equal(code, 0);
  assert(out.startsWith(`pegasus ${VERSION} `), out);
});

Deno.test("pegasus refuses unknown roles and flags with a suggestion and exit code 2", async () => {
  const role = await pegasus("oneboks");
  assert.equal(role.code, 2);
  assert.match(role.err, /Unknown role "oneboks"; did you mean "onebox"\?/);
  const flag = await pegasus("onebox", "--replica=2");
  assert.equal(flag.code, 2);
  assert.match(flag.err, /Unknown flag "--replica"; did you mean "--replicas"\?/);
  const command = await pegasus("--role=onebox", "statsu");
  assert.equal(command.code, 2);
  assert.match(command.err, /did you mean "status"\?/);
  assert.equal((await pegasus()).code, 2);
});

Deno.test("A server says in one line that it cannot write its log file", async () => {
  for (const role of ["meta", "replica"]) {
    const { code, err } = await pegasus(role, "--log-file=/nonexistent/x");
    assert.equal(code, 1);
    assert.match(err, /^Cannot write the file "\/nonexistent\/x" of --log-file: No such file.*\n$/);
  }
});

Deno.test("pegasus meta takes no flag for the file of its state", async () => {
  const dir = Deno.makeTempDirSync();
  for (const words of [["--export", `--data-dir=${dir}/m`], [`--data-dir=${dir}/m`, "--import"]]) {
    const { code, err } = await pegasus("meta", ...words);
    assert.equal(code, 2, err);
    assert.match(err, /^Flag "--(export|import)" needs a file: write --(export|import)=FILE\n$/);
  }
  assert.deepEqual([...Deno.readDirSync(dir)], []);
  Deno.removeSync(dir);
});
