// Who gets in, over real sockets: passwords, the secret of the cluster, certificates, and what
// happens to somebody who was let in when the users change.

import assert from "node:assert/strict";
import { makeAuthority, makeCertificate } from "../../../roles/onebox/certificates.ts";
import { Err, errorName, type StoreError } from "../../../src/base/errors.ts";
import { AccessBook } from "../../../src/rpc/access_book.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { makeVerifier } from "../../../src/rpc/scram.ts";
import {
  acceptSecurity,
  clientDialSecurity,
  type DialSecurity,
  OPEN,
  type SecurityOptions,
  serverDialSecurity,
  type TlsMaterial,
} from "../../../src/rpc/security.ts";
import { CLUSTER_USER, type UserRecord } from "../../../src/schema/access.ts";
import { bytes } from "../../../src/schema/field.ts";
import { defineRpc } from "../../../src/schema/rpc.ts";
import { CLIENT, MemoryLog, optionsOf, SERVER, until } from "./fixture.ts";

const shape = { request: { body: bytes }, response: { body: bytes } };
const Ask = defineRpc({ code: 60_010, name: "test_ask", access: "user", ...shape });
const Change = defineRpc({ code: 60_011, name: "test_change", ...shape });
const Internal = defineRpc({ code: 60_012, name: "test_internal", access: "server", ...shape });
const BODY = { body: new Uint8Array([1]) };
const SECRET = "a secret of all servers";

function record(name: string, password: string, admin = false): UserRecord {
  // Few iterations: the tests are about who, not about how long.
  return { name, admin, verifier: makeVerifier(password, new Uint8Array(16), 4096), createdAt: 0 };
}

interface Setting {
  readonly address: string;
  readonly book: AccessBook;
  readonly audited: string[];
  /** Asks with these credentials. @returns The name of the error, or whom the server saw. */
  ask(dial: DialSecurity | undefined, rpc?: typeof Ask): Promise<string>;
  /** A client that stays. */
  client(dial: DialSecurity | undefined): TcpRpcClient;
}

async function withServer(
  options: Partial<SecurityOptions>,
  story: (setting: Setting) => Promise<void>,
): Promise<void> {
  const security = { ...OPEN, auth: "required" as const, clusterSecret: SECRET, ...options };
  const book = new AccessBook(security.clusterSecret);
  book.update({ version: 1, users: [record("ada", "right"), record("root", "toor", true)] });
  const audited: string[] = [];
  const log = new MemoryLog();
  const server = new TcpRpcServer({
    ...optionsOf({ ...SERVER, node: "" }, {}, undefined, log),
    accept: acceptSecurity(security, book),
    audit: {
      ended: ({ who, rpc, error }) => audited.push(`${who.name} ${rpc.name} ${errorName(error)}`),
      refused: (_peer, reason) => audited.push(reason),
    },
  });
  for (const rpc of [Ask, Change, Internal]) {
    server.handle(rpc, (_request, call) => {
      call.reply({ body: new TextEncoder().encode(call.who!.name) });
    });
  }
  const address = await server.listen("127.0.0.1:0");
  const clients: TcpRpcClient[] = [];
  const client = (dial: DialSecurity | undefined) => {
    const made = new TcpRpcClient({
      ...optionsOf(CLIENT),
      ...(dial === undefined ? {} : { dial }),
    });
    clients.push(made);
    return made;
  };
  const ask = async (dial: DialSecurity | undefined, rpc = Ask) => {
    try {
      return new TextDecoder().decode((await client(dial).call(address, rpc, BODY, 3000)).body);
    } catch (error) {
      return errorName((error as StoreError).code);
    }
  };
  try {
    await story({ address, book, audited, ask, client });
  } finally {
    await Promise.all(clients.map((one) => one.close()));
    await server.close(0);
  }
  const text = log.lines.concat(audited).join("\n");
  for (const word of [SECRET, "right", "toor"]) assert.ok(!text.includes(word), `${word} in a log`);
}

function password(user: string, word: string, tls?: TlsMaterial): DialSecurity {
  return clientDialSecurity({ user, password: word }, tls);
}

Deno.test("auth: a password lets its user in, and nothing else does", async () => {
  await withServer({}, async ({ ask, audited }) => {
    assert.equal(await ask(password("ada", "right")), "ada");
    assert.equal(await ask(password("ada", "wrong")), "UNAUTHENTICATED");
    assert.equal(await ask(password("ada", "")), "UNAUTHENTICATED");
    assert.equal(await ask(password("nobody", "right")), "UNAUTHENTICATED");
    assert.equal(await ask(password("", "right")), "UNAUTHENTICATED");
    assert.equal(await ask(undefined), "UNAUTHENTICATED");
    assert.equal(audited.filter((line) => line.startsWith("Wrong user or password")).length, 3);
  });
});

Deno.test("auth: what a rank does not allow is refused before it is decoded, and kept", async () => {
  await withServer({}, async ({ ask, audited }) => {
    assert.equal(await ask(password("ada", "right"), Change), "ACL_DENY");
    assert.equal(await ask(password("root", "toor"), Change), "root");
    assert.equal(await ask(password("root", "toor"), Internal), "ACL_DENY");
    assert.equal(
      await ask(serverDialSecurity({ ...OPEN, clusterSecret: SECRET }), Internal),
      CLUSTER_USER,
    );
    assert.deepEqual(audited, [
      "ada test_change ACL_DENY",
      "root test_change OK",
      "root test_internal ACL_DENY",
    ]);
  });
});

Deno.test("auth: a server with another secret does not get in, nor does one get past an impostor", async () => {
  await withServer({}, async ({ ask }) => {
    const other = { ...OPEN, clusterSecret: "another secret here" };
    assert.equal(await ask(serverDialSecurity(other), Internal), "UNAUTHENTICATED");
  });
  // The other side lets everybody in: it proves nothing, so it is not where a password belongs.
  await withServer({ auth: "off" }, async ({ ask }) => {
    const strict = { ...OPEN, auth: "required" as const, clusterSecret: SECRET };
    assert.equal(await ask(password("ada", "right")), "UNAUTHENTICATED");
    assert.equal(await ask(serverDialSecurity(strict)), "UNAUTHENTICATED");
    assert.equal(await ask(undefined, Internal), "");
  });
});

Deno.test("auth: optional lets everybody do everything, but not with a wrong password", async () => {
  await withServer({ auth: "optional" }, async ({ ask }) => {
    assert.equal(await ask(undefined, Internal), "");
    assert.equal(await ask(password("ada", "right"), Internal), "ada");
    assert.equal(await ask(password("ada", "wrong"), Internal), "UNAUTHENTICATED");
    assert.equal(await ask(serverDialSecurity({ ...OPEN, auth: "optional" }), Internal), "");
  });
});

Deno.test("auth: connections that stand follow the users", async () => {
  await withServer({}, async ({ address, book, client }) => {
    const codeOf = (from: TcpRpcClient, rpc: typeof Ask) =>
      from.call(address, rpc, BODY, 3000).then(() => 0, (error: StoreError) => error.code);
    const [ada, root] = [client(password("ada", "right")), client(password("root", "toor"))];
    assert.equal(await codeOf(ada, Change), Err.ACL_DENY);
    assert.equal(await codeOf(root, Change), Err.OK);
    const users = [record("ada", "right", true), record("root", "toor")];
    book.update({ version: 2, users });
    assert.equal(await codeOf(ada, Change), Err.OK);
    assert.equal(await codeOf(root, Change), Err.ACL_DENY);
    book.update({ version: 3, users: [record("root", "new")] });
    const isOut = async (from: TcpRpcClient) => await codeOf(from, Ask) === Err.UNAUTHENTICATED;
    for (const from of [ada, root]) {
      let out = false;
      for (let i = 0; i < 200 && !out; i++) out = await isOut(from);
      assert.ok(out, "still in");
    }
  });
});

Deno.test("auth: optional lets connections that stand do everything when the users change, too", async () => {
  await withServer({ auth: "optional" }, async ({ address, book, client }) => {
    const ada = client(password("ada", "right"));
    const nameOf = async () =>
      new TextDecoder().decode((await ada.call(address, Internal, BODY, 3000)).body);
    assert.equal(await nameOf(), "ada");
    const more = [record("ada", "right"), record("root", "toor", true), record("bob", "builder")];
    book.update({ version: 2, users: more });
    assert.equal(await nameOf(), "ada");
    // Who shows a password must still show the right one.
    book.update({ version: 3, users: [record("root", "toor", true)] });
    const isOut = async () => {
      const code = await nameOf().then(() => Err.OK, (error: StoreError) => error.code);
      return code === Err.UNAUTHENTICATED;
    };
    let out = false;
    for (let i = 0; i < 200 && !out; i++) out = await isOut();
    assert.ok(out, "still in");
  });
});

Deno.test("auth: with TLS a certificate says who somebody is", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "security-tls-" });
  try {
    const read = Deno.readTextFileSync;
    const ca = read(await makeAuthority(`${dir}/own`));
    const other = read(await makeAuthority(`${dir}/other`));
    const make = async (where: string, name: string, isServer = false) => {
      const files = await makeCertificate(`${dir}/${where}`, name, isServer);
      return { cert: read(files.cert), key: read(files.key), ca };
    };
    const server = await make("own", "pegasus-server", true);
    const ada = await make("own", "ada");
    const forged = await make("other", "pegasus-server", true);
    // Names with a meaning of their own.
    const cluster = await make("own", CLUSTER_USER);
    const nobody = await make("own", "-");
    const none = { cert: "", key: "", ca };
    await withServer({ tls: server, clusterSecret: "" }, async ({ ask, audited }) => {
      assert.equal(await ask(clientDialSecurity(undefined, ada)), "ada");
      assert.equal(await ask(clientDialSecurity(undefined, ada), Internal), "ACL_DENY");
      assert.equal(await ask(clientDialSecurity(undefined, server), Internal), CLUSTER_USER);
      assert.equal(await ask(password("ada", "right", none)), "ada");
      assert.equal(await ask(clientDialSecurity(undefined, none)), "UNAUTHENTICATED");
      assert.equal(await ask(clientDialSecurity(undefined, forged), Internal), "UNAUTHENTICATED");
      for (const odd of [cluster, nobody]) {
        assert.equal(await ask(clientDialSecurity(undefined, odd)), "UNAUTHENTICATED");
        assert.equal(await ask(clientDialSecurity(undefined, odd), Internal), "UNAUTHENTICATED");
      }
      // The server is not the one of this authority.
      assert.equal(
        await ask(clientDialSecurity(undefined, { ...ada, ca: other })),
        "CONNECT_FAILED",
      );
      // Plain TCP meets TLS.
      assert.equal(await ask(undefined), "CONNECT_FAILED");
      await until(() => audited.length >= 3, "refused TLS connections are kept");
    });
    await withServer({}, async ({ ask }) => {
      assert.equal(await ask(password("ada", "right", none)), "CONNECT_FAILED");
    });
    // Nothing is forbidden yet: whoever has no name a user can have is nobody in particular.
    await withServer({ tls: server, auth: "optional" }, async ({ ask }) => {
      assert.equal(await ask(clientDialSecurity(undefined, ada), Internal), "ada");
      assert.equal(await ask(clientDialSecurity(undefined, cluster), Internal), "");
    });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
