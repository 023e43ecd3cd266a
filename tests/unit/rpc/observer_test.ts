// What an observer of an RPC server sees: every request once, with its error, its bytes and its time.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import type { IncomingCall } from "../../../src/rpc/contract.ts";
import type { CallObserver } from "../../../src/rpc/options.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { CLIENT, Echo, ManualTimers, optionsOf, SERVER, Unknown, until } from "./fixture.ts";

/** Writes down what it is told. */
class Recorder implements CallObserver {
  readonly lines: string[] = [];
  #tag = 0;

  started(rpc: { readonly name: string }, request: unknown, bytes: number): number {
    const { body } = request as { body: Uint8Array };
    this.lines.push(`started ${rpc.name} ${body.length} ${bytes > body.length}`);
    return this.#tag++;
  }

  answered(tag: number, error: number, bytes: number): void {
    this.lines.push(`answered ${tag} ${error} ${bytes > 0}`);
  }

  took(tag: number, ms: number): void {
    this.lines.push(`took ${tag} ${ms}`);
  }

  refused(rpcCode: number, error: number): void {
    this.lines.push(`refused ${rpcCode} ${error}`);
  }
}

async function withServer(
  story: (
    parts: { server: TcpRpcServer; client: TcpRpcClient; timers: ManualTimers; seen: Recorder },
    address: string,
  ) => Promise<void>,
): Promise<void> {
  const timers = new ManualTimers();
  const seen = new Recorder();
  const server = new TcpRpcServer({ ...optionsOf(SERVER, {}, timers), observer: seen });
  const client = new TcpRpcClient(optionsOf(CLIENT));
  try {
    await story({ server, client, timers, seen }, await server.listen("127.0.0.1:0"));
  } finally {
    await client.close();
    const closing = server.close(0);
    timers.advance(1);
    await closing;
  }
}

const BODY = { body: new Uint8Array(10) };

Deno.test("CallObserver sees an answer at once, its bytes, and its time at the end of the batch", async () => {
  await withServer(async ({ server, client, timers, seen }, address) => {
    server.handle(Echo, (request, call) => {
      call.reply(request);
      call.reply(request);
    });
    server.onBatchEnd = () => timers.advance(7);
    await client.call(address, Echo, BODY, 1000);
    assert.deepEqual(seen.lines, ["started test_echo 10 true", "answered 0 0 true", "took 0 7"]);
  });
});

Deno.test("CallObserver sees a late answer, an error and a request nobody answers", async () => {
  await withServer(async ({ server, client, timers, seen }, address) => {
    const calls: IncomingCall<unknown>[] = [];
    server.handle(Echo, (_request, call) => calls.push(call));
    const ended: number[] = [];
    for (let i = 0; i < 3; i++) {
      client.start(address, Echo, BODY, 1000, (error) => ended.push(error));
    }
    await until(() => calls.length === 3, "the calls arrive");
    timers.advance(5);
    calls[1]!.reply(BODY);
    calls[2]!.fail(Err.BUSY);
    await until(() => ended.length === 2, "two answers");
    timers.advance(995);
    calls[0]!.reply(BODY);
    assert.deepEqual(seen.lines.slice(3), [
      "took 1 5",
      "answered 1 0 true",
      "took 2 5",
      `answered 2 ${Err.BUSY} false`,
      `answered 0 ${Err.TIMEOUT} false`,
      "took 0 1000",
    ]);
  });
});

Deno.test("CallObserver sees what is refused before it starts", async () => {
  await withServer(async ({ client, seen }, address) => {
    await assert.rejects(client.call(address, Unknown, {}, 1000));
    assert.deepEqual(seen.lines, [`refused ${Unknown.code} ${Err.HANDLER_NOT_FOUND}`]);
  });
});
