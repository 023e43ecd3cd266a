// Calls between a real client and a real server on loopback.

import assert from "node:assert/strict";
import { Err, StoreError } from "../../../src/base/errors.ts";
import type { IncomingCall, RpcSettings } from "../../../src/rpc/contract.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { encode } from "../../../src/schema/codec.ts";
import {
  CLIENT,
  Echo,
  EchoMisspelt,
  ManualTimers,
  MemoryLog,
  Note,
  optionsOf,
  SERVER,
  Unknown,
  until,
} from "./fixture.ts";

type EchoCall = IncomingCall<{ readonly body: Uint8Array }>;

interface Pair {
  readonly server: TcpRpcServer;
  readonly client: TcpRpcClient;
  readonly to: string;
  readonly log: MemoryLog;
  readonly timers: ManualTimers;
}

/** Runs a test with a server that echoes and a client. */
async function withPair(
  settings: { server?: Partial<RpcSettings>; client?: Partial<RpcSettings> },
  test: (pair: Pair) => Promise<void>,
): Promise<void> {
  const log = new MemoryLog();
  const timers = new ManualTimers();
  const server = new TcpRpcServer(optionsOf(SERVER, settings.server, timers, log));
  server.handle(Echo, (request, call) => call.reply({ body: request.body }));
  const to = await server.listen("127.0.0.1:0");
  const client = new TcpRpcClient(optionsOf(CLIENT, settings.client, timers, log));
  try {
    await test({ server, client, to, log, timers });
  } finally {
    await client.close();
    await server.close(0);
  }
}

const body = new Uint8Array([1, 2, 3]);

async function codeOf(call: Promise<unknown>): Promise<number> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof StoreError, String(error));
    return error.code;
  }
  return 0;
}

Deno.test("RpcClient call() returns what the handler replies", async () => {
  await withPair({}, async ({ client, to }) => {
    assert.deepEqual((await client.call(to, Echo, { body }, 1000)).body, body);
  });
});

Deno.test("RpcClient start() pipelines calls and matches every answer to its call", async () => {
  await withPair({}, async ({ client, server, to }) => {
    // Answers leave in reverse order.
    const held: (() => void)[] = [];
    server.handle(Echo, (request, call) => {
      held.push(() => call.reply({ body: request.body }));
      if (held.length === 500) { for (const answer of held.reverse()) answer(); }
    });
    const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => {
      return client.call(to, Echo, { body: new Uint8Array([i & 255, i >> 8]) }, 1000);
    }));
    answers.forEach((answer, i) => assert.deepEqual([...answer.body], [i & 255, i >> 8]));
  });
});

Deno.test("RpcClient carries frames larger than any socket read", async () => {
  await withPair({}, async ({ client, to }) => {
    const large = new Uint8Array(5_000_000).map((_, i) => i % 251);
    const answer = await client.call(to, Echo, { body: large }, 10_000);
    assert.equal(answer.body.length, large.length);
    assert.ok(answer.body.every((byte, i) => byte === i % 251));
  });
});

Deno.test("RpcClient startEncoded() and replyBytes() take encoded bodies", async () => {
  await withPair({}, async ({ client, server, to }) => {
    server.handle(Echo, (request, call) => call.replyBytes(encode(Echo.response, request)));
    const answer = await new Promise<unknown>((resolve) => {
      client.startEncoded(to, Echo, encode(Echo.request, { body }), 1000, (code, response) => {
        resolve({ code, body: [...response!.body] });
      });
    });
    assert.deepEqual(answer, { code: 0, body: [1, 2, 3] });
  });
});

Deno.test("RpcClient send() delivers messages in order, also those sent while connecting", async () => {
  await withPair({}, async ({ client, server, to }) => {
    const seen: number[] = [];
    server.handle(Note, ({ number }, call) => {
      seen.push(number);
      call.reply({});
    });
    for (let number = 0; number < 100; number++) client.send(to, Note, { number });
    await until(() => seen.length === 100, "all messages");
    assert.deepEqual(seen, Array.from({ length: 100 }, (_, i) => i));
  });
});

Deno.test("RpcServer calls onBatchEnd once per read, after its frames", async () => {
  await withPair({}, async ({ client, server, to }) => {
    const events: string[] = [];
    await client.call(to, Echo, { body }, 1000);
    const queue: EchoCall[] = [];
    server.handle(Echo, (_request, call) => {
      events.push("frame");
      queue.push(call);
    });
    server.onBatchEnd = () => {
      events.push("end");
      for (const call of queue.splice(0)) call.reply({ body });
    };
    await Promise.all([1, 2, 3].map(() => client.call(to, Echo, { body }, 1000)));
    assert.deepEqual(events, ["frame", "frame", "frame", "end"]);
  });
});

Deno.test("RpcServer answers what it cannot do, and the connection stays", async () => {
  await withPair({}, async ({ client, server, to, log }) => {
    let connections = 0;
    server.handle(Note, () => connections++);
    assert.equal(await codeOf(client.call(to, Unknown, {}, 1000)), Err.HANDLER_NOT_FOUND);
    assert.equal(await codeOf(client.call(to, EchoMisspelt, { body: 1 }, 1000)), Err.INVALID_DATA);
    server.handle(Echo, () => {
      throw new Error("planned");
    });
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.INTERNAL);
    assert.ok(log.has("error Handler failed"));
    server.handle(Echo, (_request, call) => call.fail(Err.FORWARD_TO_OTHERS, "other:1"));
    const error = await client.call(to, Echo, { body }, 1000).catch((e) => e);
    assert.match(error.message, /FORWARD_TO_OTHERS: other:1/);
    assert.equal(server.connectionCount, 1);
  });
});

Deno.test("RpcServer survives handlers that answer twice and batches that fail", async () => {
  await withPair({}, async ({ client, server, to }) => {
    server.handle(Echo, (request, call) => {
      call.reply({ body: request.body });
      call.reply({ body: new Uint8Array(0) });
      call.fail(Err.BUSY);
    });
    server.onBatchEnd = () => {
      throw new Error("planned");
    };
    for (let i = 0; i < 3; i++) {
      assert.deepEqual((await client.call(to, Echo, { body }, 1000)).body, body);
    }
  });
});

Deno.test("RpcClient refuses and RpcServer fails messages over the frame limit", async () => {
  const limits = { frameBytesMax: 10_000 };
  await withPair({ server: limits, client: limits }, async ({ client, server, to }) => {
    const large = new Uint8Array(10_000);
    assert.equal(await codeOf(client.call(to, Echo, { body: large }, 1000)), Err.FRAME_TOO_LARGE);
    server.handle(Echo, (_request, call) => call.reply({ body: large }));
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.FRAME_TOO_LARGE);
    assert.equal(server.connectionCount, 1);
  });
});

Deno.test("RpcClient times a call out and ignores the late answer", async () => {
  await withPair({}, async ({ client, server, to, timers }) => {
    let held: EchoCall | undefined;
    let isHeld = true;
    server.handle(Echo, (request, call) => {
      if (isHeld) held = call;
      else call.reply({ body: request.body });
    });
    const call = codeOf(client.call(to, Echo, { body }, 1000));
    await until(() => held !== undefined, "the request");
    timers.advance(999);
    isHeld = false;
    await client.call(to, Echo, { body }, 1000);
    timers.advance(1);
    assert.equal(await call, Err.TIMEOUT);
    held!.reply({ body: new Uint8Array(0) });
    assert.deepEqual((await client.call(to, Echo, { body }, 1000)).body, body);
  });
});

Deno.test("RpcClient limits the calls in flight", async () => {
  await withPair({ client: { inflightMax: 2 } }, async ({ client, server, to }) => {
    const held: EchoCall[] = [];
    server.handle(Echo, (_request, call) => held.push(call));
    for (const isOpen of [false, true]) {
      const calls = [1, 2, 3].map(() => codeOf(client.call(to, Echo, { body }, 1000)));
      assert.equal(await calls[2], Err.BUSY, `open: ${isOpen}`);
      await until(() => held.length === 2, "two calls");
      for (const call of held.splice(0)) call.reply({ body });
      assert.deepEqual(await Promise.all(calls), [0, 0, Err.BUSY]);
    }
  });
});

Deno.test("RpcServer limits the calls running, and forgets them at their deadline", async () => {
  await withPair({ server: { inflightMax: 2 } }, async ({ client, server, to, timers }) => {
    let seen = 0;
    server.handle(Echo, () => seen++);
    const first = [1, 2, 3].map(() => codeOf(client.call(to, Echo, { body }, 1000)));
    assert.equal(await first[2], Err.BUSY);
    assert.equal(seen, 2);
    timers.advance(1000);
    assert.deepEqual(await Promise.all(first), [Err.TIMEOUT, Err.TIMEOUT, Err.BUSY]);
    server.handle(Echo, (request, call) => call.reply({ body: request.body }));
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), 0);
  });
});

Deno.test("RpcClient never runs done inside start(), and survives done that throws", async () => {
  await withPair({ client: { inflightMax: 1 } }, async ({ client, to, log }) => {
    let inside = true;
    const codes: number[] = [];
    for (let i = 0; i < 2; i++) {
      client.start(to, Echo, { body }, 1000, (code) => {
        assert.ok(!inside);
        codes.push(code);
        throw new Error("planned");
      });
    }
    inside = false;
    await until(() => codes.length === 2, "both ends");
    assert.deepEqual(codes.sort((a, b) => a - b), [0, Err.BUSY]);
    assert.ok(log.has("The end of a call failed"));
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), 0);
  });
});

Deno.test("RpcServer close() answers running calls and refuses new ones", async () => {
  await withPair({}, async ({ client, server, to, timers }) => {
    let held: EchoCall | undefined;
    server.handle(Echo, (_request, call) => held = call);
    const running = client.call(to, Echo, { body }, 1000);
    await until(() => held !== undefined, "the request");
    let isClosed = false;
    const closing = server.close(10_000).then(() => isClosed = true);
    const events: string[] = [];
    client.onPeer = (_address, event) => events.push(event);
    await until(() => events.includes("down"), "the client notices");
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.CONNECT_FAILED);
    assert.ok(!isClosed);
    held!.reply({ body });
    assert.deepEqual((await running).body, body);
    timers.advance(20);
    await closing;
    assert.ok(isClosed);
  });
});

Deno.test("RpcServer close() does not wait for calls longer than its grace", async () => {
  await withPair({}, async ({ client, server, to, timers, log }) => {
    let seen = 0;
    server.handle(Echo, () => seen++);
    const call = codeOf(client.call(to, Echo, { body }, 60_000));
    await until(() => seen === 1, "the request");
    const closing = server.close(500);
    timers.advance(500);
    await closing;
    assert.equal(await call, Err.CONNECTION_LOST);
    assert.ok(log.has("Closing with requests running"));
  });
});

Deno.test("RpcClient close() ends calls in flight as lost and waiting ones as never sent", async () => {
  await withPair({}, async ({ client, server, to }) => {
    let seen = 0;
    server.handle(Echo, () => seen++);
    const sent = codeOf(client.call(to, Echo, { body }, 1000));
    await until(() => seen === 1, "the request");
    const waiting = codeOf(client.call("127.0.0.1:1", Echo, { body }, 1000));
    await client.close();
    assert.equal(await sent, Err.CONNECTION_LOST);
    assert.equal(await waiting, Err.CLOSED);
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.CLOSED);
    client.send(to, Note, { number: 1 });
  });
});
