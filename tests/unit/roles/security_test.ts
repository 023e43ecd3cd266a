// Secrets and certificates from settings, warnings about open doors, and what the audit keeps.

import assert from "node:assert/strict";
import { type AuditEntry, callAudit, openAudit } from "../../../roles/audit.ts";
import { readClientSecurity } from "../../../roles/client_security.ts";
import { NO_SECURITY_FLAGS } from "../../../roles/client_security.ts";
import { exposures, isLoopback, loadSecurity, looseMode } from "../../../roles/security.ts";
import { makeAuthority, makeCertificate } from "../../../roles/onebox/certificates.ts";
import { tlsProblem } from "../../../src/rpc/tcp_transport.ts";
import { Err } from "../../../src/base/errors.ts";
import { defaultSettings, loadSettings } from "../../../src/config/load.ts";
import { OPEN } from "../../../src/rpc/security.ts";
import { openLog } from "../../../src/observe/log.ts";
import { loggerOf, SILENT } from "../../../src/observe/logger.ts";
import { Rank } from "../../../src/schema/access.ts";
import { PutUser } from "../../../src/schema/access_rpc.ts";
import { Balance, DropTable, RemoteCommand } from "../../../src/schema/meta_rpc.ts";

async function withDir(story: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "security-unit-" });
  try {
    await story(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function problems(...flags: string[]): string {
  const loaded = loadSettings("meta", flags, () => "");
  return loaded.kind === "invalid" ? loaded.problems.join("\n") : loaded.kind;
}

Deno.test("settings of security that do not go together are refused with what to do", () => {
  assert.match(
    problems("--auth=required"),
    /could not know each other: give "cluster-secret-file"/,
  );
  assert.match(problems("--cluster-secret-file=/x"), /nobody would be asked/);
  assert.match(problems("--tls-cert=/x"), /"tls-cert" and "tls-key" belong together/);
  assert.match(problems("--tls-ca=/x"), /needs "tls-cert"/);
  assert.equal(problems("--auth=required", "--cluster-secret-file=/x"), "settings");
  assert.equal(
    problems("--auth=optional", "--tls-cert=/x", "--tls-key=/x", "--tls-ca=/x"),
    "settings",
  );
});

Deno.test("loadSecurity refuses files that hold no secret or certificate, and names them", async () => {
  await withDir(async (dir) => {
    const load = (security: Record<string, string>) => {
      const settings = defaultSettings();
      return loadSecurity({
        ...settings,
        security: { ...settings.security, ...security } as never,
      });
    };
    const file = (name: string, text: string) => {
      Deno.writeTextFileSync(`${dir}/${name}`, text);
      return `${dir}/${name}`;
    };
    const clusterSecretFile = file("short", "123\n");
    assert.throws(() => load({ clusterSecretFile }), /short".*3 characters: expected 16/s);
    assert.throws(
      () => load({ clusterSecretFile: `${dir}/none` }),
      /Cannot read the file ".*none"/,
    );
    const [tlsCert, tlsKey] = [file("cert", "no pem"), file("key", "no pem")];
    assert.throws(() => load({ tlsCert, tlsKey }), /cert" of --tls-cert holds no certificate/);
    const broken = file("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert.throws(() => load({ tlsCert: broken, tlsKey: broken }), /cannot be used/);
    const ca = await makeAuthority(dir);
    const [one, two] = [
      await makeCertificate(dir, "one", true),
      await makeCertificate(dir, "two", true),
    ];
    assert.ok(load({ tlsCert: one.cert, tlsKey: one.key, tlsCa: ca }).tls !== undefined);
    assert.throws(
      () => load({ tlsCert: one.cert, tlsKey: two.key }),
      /not the one of the certificate/,
    );
    const late = tlsProblem({ cert: "", key: "", ca: Deno.readTextFileSync(ca) }, Date.UTC(2100));
    assert.match(late!, /pegasus test authority ended/);
    const good = load({ clusterSecretFile: file("good", "0123456789abcdef\n") });
    assert.equal(good.clusterSecret, "0123456789abcdef");
    Deno.chmodSync(`${dir}/good`, 0o644);
    assert.match(looseMode(`${dir}/good`), /chmod 600/);
    Deno.chmodSync(`${dir}/good`, 0o600);
    assert.equal(looseMode(`${dir}/good`), "");
  });
});

Deno.test("exposures warn about what others can reach, and about nothing else", () => {
  const silent = { listen: "127.0.0.1:1", hasToken: true };
  assert.deepEqual(exposures(OPEN, "127.0.0.1:1", silent), []);
  assert.match(
    exposures(OPEN, "0.0.0.0:1", silent).join(),
    /can read, change and destroy all data/,
  );
  const required = { ...OPEN, auth: "required" as const };
  const [onlyTls] = exposures(required, "10.0.0.1:1", silent);
  assert.match(onlyTls!, /can be read and changed on the way/);
  const tls = { cert: "c", key: "k", ca: "a" };
  assert.deepEqual(exposures({ ...required, tls }, "10.0.0.1:1", silent), []);
  const http = { listen: "0.0.0.0:2", hasToken: true };
  assert.match(
    exposures(OPEN, "127.0.0.1:1", http).join(),
    /HTTP at 0\.0\.0\.0:2.*token.*unencrypted/s,
  );
  for (const near of ["localhost:1", "127.8.8.8:1", "[::1]:1"]) assert.ok(isLoopback(near), near);
  for (const far of ["0.0.0.0:1", "[::]:1", "128.0.0.1:1", "db:1", "127.0.0.1.evil:1"]) {
    assert.ok(!isLoopback(far), far);
  }
});

Deno.test("the audit keeps changes with their outcome, no questions, no bytes, and not every refusal", () => {
  const kept: AuditEntry[] = [];
  const audit = callAudit((entry) => kept.push(entry));
  const who = { name: "ada", rank: 2 };
  const call = { who, peer: "ada@1.2.3.4:5", error: Err.OK as number, detail: "" };
  const drop = { name: "t", reserveSeconds: 0, successIfNotExists: false };
  audit.ended({ ...call, rpc: DropTable, request: drop });
  audit.ended({ ...call, rpc: Balance, request: { action: "status" } });
  audit.ended({ ...call, rpc: Balance, request: { action: "start" } });
  const compact = { command: "compact", args: ["1"] };
  audit.ended({ ...call, rpc: RemoteCommand, request: compact });
  audit.ended({ ...call, rpc: RemoteCommand, request: { command: "compaction", args: [] } });
  const key = new TextEncoder().encode("verysecretkeyofada");
  const verifier = { salt: key, iterations: 15000, storedKey: key, serverKey: key };
  const request = { name: "eve", action: "create", admin: false, verifier };
  audit.ended({ ...call, rpc: PutUser, request, error: Err.BUSY, detail: "busy" });
  assert.deepEqual(kept.map(({ who, action, outcome }) => [who, action, outcome]), [
    ["ada", "drop_table", "OK"],
    ["ada", "balance", "OK"],
    ["ada", "remote_command", "OK"],
    ["ada", "put_user", "BUSY"],
  ]);
  assert.match(kept[0]!.request, /"name":"t"/);
  assert.ok(!/verysecret|118,101|dmVyeXNl/.test(JSON.stringify(kept)));
  for (let i = 0; i < 1000; i++) audit.refused("6.6.6.6:6", "Wrong user or password");
  assert.equal(kept.length, 4 + 20);
});

Deno.test("the audit keeps all failures of administrators, and not every one of a user", () => {
  const kept: AuditEntry[] = [];
  const audit = callAudit((entry) => kept.push(entry), () => 0);
  const drop = { name: "none", reserveSeconds: 0, successIfNotExists: false };
  const call = { rpc: DropTable, request: drop, peer: "x", detail: "" };
  const ask = (name: string, rank: number, error: number) => {
    const before = kept.length;
    for (let i = 0; i < 100; i++) audit.ended({ ...call, who: { name, rank }, error });
    return kept.length - before;
  };
  assert.equal(ask("eve", Rank.USER, Err.APP_NOT_EXIST), 20);
  assert.equal(ask("eve", Rank.USER, Err.OK), 100);
  assert.equal(ask("ada", Rank.ADMIN, Err.APP_NOT_EXIST), 100);
  assert.equal(ask("ada", Rank.ADMIN, Err.ACL_DENY), 20);
});

Deno.test("the audit file gets a line per entry; one that cannot be written is told to the log", async () => {
  await withDir((dir) => {
    const entry = { who: "ada", from: "x", action: "a", request: "", outcome: "OK", detail: "" };
    const sink = openAudit(`${dir}/audit`, SILENT);
    sink(entry);
    sink({ ...entry, action: "b" });
    const lines = Deno.readTextFileSync(`${dir}/audit`).trim().split("\n").map((l) =>
      JSON.parse(l)
    );
    assert.deepEqual(lines.map(({ action }) => action), ["a", "b"]);
    assert.match(lines[0].at, /^\d{4}-.*Z$/);
    assert.equal(Deno.statSync(`${dir}/audit`).mode! & 0o777, 0o600);
    assert.throws(() => openAudit(`${dir}/none/audit`, SILENT));
    const said: string[] = [];
    openAudit("", loggerOf((level, message) => said.push(`${level} ${message}`)))(entry);
    assert.deepEqual(said, ["info Change"]);
  });
});

Deno.test("the audit in the log is complete, whatever the level and however many changes", () => {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const log = openLog({ level: "error", format: "text", write, monotonicMs: () => 0 });
  const sink = openAudit("", log.logger("audit"));
  const entry = { who: "ada", from: "x", action: "drop_table", request: "", detail: "" };
  for (let i = 0; i < 30; i++) sink({ ...entry, outcome: "OK" });
  sink({ ...entry, outcome: "BUSY" });
  log.close();
  assert.equal(lines.length, 31);
  assert.match(lines[29]!, / INFO {2}audit: Change who=ada from=x action=drop_table .*outcome=OK/);
  assert.match(lines[30]!, / WARN {2}audit: Refused or failed .*outcome=BUSY/);
});

Deno.test("readClientSecurity takes secrets from files, the environment or the terminal", async () => {
  await withDir(async (dir) => {
    const passwordFile = `${dir}/pw`;
    Deno.writeTextFileSync(passwordFile, "of the file\n");
    const read = (flags: Partial<typeof NO_SECURITY_FLAGS>, ask?: (q: string) => Promise<string>) =>
      readClientSecurity({ ...NO_SECURITY_FLAGS, ...flags }, ask);
    assert.deepEqual(await read({}), {});
    const ada = { user: "ada", password: "of the file" };
    assert.deepEqual(await read({ user: "ada", passwordFile }), { auth: ada });
    const typed = await read({ user: "ada" }, () => Promise.resolve("typed"));
    assert.equal(typed.auth!.password, "typed");
    await assert.rejects(read({ user: "ada" }), /give --password-file or the variable/);
    await assert.rejects(read({ passwordFile }), /needs --user/);
    await assert.rejects(
      read({ user: "ada", passwordFile: `${dir}/none` }),
      /Cannot read the password/,
    );
    await assert.rejects(read({ user: "a", clusterSecretFile: "/x" }), /give one/);
    await assert.rejects(read({ tlsCert: "/x" }), /belong together/);
    Deno.env.set("PEGASUS_PASSWORD", "of the environment");
    try {
      assert.equal((await read({ user: "ada" })).auth!.password, "of the environment");
    } finally {
      Deno.env.delete("PEGASUS_PASSWORD");
    }
  });
});

Deno.test("a role gives back the permissions it does not need, and keeps those it does", async () => {
  const program = new URL("../../../roles/permissions.ts", import.meta.url).href;
  const stateOf = async (role: string) => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `import { narrowPermissions } from "${program}"; narrowPermissions("${role}");` +
        `const names = ["run", "ffi", "sys", "net", "read"];` +
        `console.log(names.filter((name) => Deno.permissions.querySync({ name }).state === "granted").join());`,
      ],
    }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  assert.equal(await stateOf("meta"), "sys,net,read");
  assert.equal(await stateOf("replica"), "ffi,sys,net,read");
  assert.equal(await stateOf("onebox"), "run,net,read");
});
