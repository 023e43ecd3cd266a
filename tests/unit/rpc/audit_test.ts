// What is kept of changes: each of them once, however it ended, and whether or not its caller still waited.

import assert from "node:assert/strict";
import { Err, errorName, type StoreError } from "../../../src/base/errors.ts";
import type { IncomingCall } from "../../../src/rpc/contract.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { bytes } from "../../../src/schema/field.ts";
import { defineRpc } from "../../../src/schema/rpc.ts";
import { CLIENT, ManualTimers, optionsOf, SERVER, until } from "./fixture.ts";

const shape = { request: { body: bytes }, response: { body: bytes } };
const Change = defineRpc({ code: 60_021, name: "test_change", ...shape, audited: true });
const Ask = defineRpc({ code: 60_022, name: "test_ask", ...shape, access: "user" });
const BODY = { body: new Uint8Array([1]) };
const TIMEOUT_MS = 1000;

type Held = IncomingCall<typeof BODY>;

interface Setting {
  /** What was kept. */
  readonly audited: string[];
  /** Calls that wait for their answers. */
  readonly held: Held[];
  readonly timers: ManualTimers;
  /** Connections that ended. */
  readonly lost: string[];
  /** Asks. @returns The name of the result. */
  ask(rpc?: typeof Change): Promise<string>;
  readonly client: TcpRpcClient;
}

async function withServer(story: (setting: Setting) => Promise<void>): Promise<void> {
  const audited: string[] = [];
  const held: Held[] = [];
  const lost: string[] = [];
  const timers = new ManualTimers();
  const server = new TcpRpcServer({
    ...optionsOf(SERVER, {}, timers),
    audit: {
      ended: ({ rpc, request, error }) => {
        const what = request === undefined ? "unknown" : "known";
        audited.push(`${rpc.name} ${what} ${errorName(error)}`);
      },
      refused: (_peer, reason) => audited.push(reason),
    },
  });
  for (const rpc of [Change, Ask]) server.handle(rpc, (_request, call) => void held.push(call));
  server.onDisconnect = (peer) => void lost.push(peer);
  const address = await server.listen("127.0.0.1:0");
  const client = new TcpRpcClient(optionsOf(CLIENT, {}, timers));
  const ask = (rpc = Change) =>
    client.call(address, rpc, BODY, TIMEOUT_MS).then(
      () => "OK",
      (error: StoreError) => errorName(error.code),
    );
  try {
    await story({ audited, held, timers, lost, ask, client });
  } finally {
    await client.close();
    await server.close(0);
  }
}

Deno.test("audit: a change is kept once, also if it is answered twice", async () => {
  await withServer(async ({ audited, held, ask }) => {
    const answers = [ask(), ask(), ask(Ask)];
    await until(() => held.length === 3, "three calls");
    held[0]!.reply(BODY);
    held[0]!.fail(Err.ACL_DENY, "Too late");
    held[1]!.fail(Err.ACL_DENY, "No");
    held[1]!.reply(BODY);
    held[2]!.fail(Err.ACL_DENY, "No");
    held[2]!.fail(Err.ACL_DENY, "No");
    assert.deepEqual(await Promise.all(answers), ["OK", "ACL_DENY", "ACL_DENY"]);
    assert.deepEqual(audited, [
      "test_change known OK",
      "test_change known ACL_DENY",
      "test_ask unknown ACL_DENY",
    ]);
  });
});

Deno.test("audit: a change that is done after its caller left is kept", async () => {
  await withServer(async ({ audited, held, lost, ask, client }) => {
    const answers = [ask(), ask(), ask(Ask)];
    await until(() => held.length === 3, "three calls");
    await client.close();
    await until(() => lost.length === 1, "the end of the connection");
    await Promise.all(answers);
    assert.deepEqual(audited, []);
    for (const call of [held[0]!, held[2]!]) {
      call.reply(BODY);
      call.reply(BODY);
    }
    held[1]!.fail(Err.STORE_FAILED, "The store is away");
    held[2]!.fail(Err.ACL_DENY, "Nobody hears it");
    assert.deepEqual(audited, ["test_change known OK", "test_change known STORE_FAILED"]);
  });
});

Deno.test("audit: a change that is done after its deadline is kept", async () => {
  await withServer(async ({ audited, held, timers, ask }) => {
    const answer = ask();
    await until(() => held.length === 1, "the call");
    timers.jump(TIMEOUT_MS + 100);
    assert.equal(await answer, "TIMEOUT");
    held[0]!.replyBytes(new Uint8Array(0));
    held[0]!.reply(BODY);
    assert.deepEqual(audited, ["test_change known OK"]);
  });
});
