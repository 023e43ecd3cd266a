// The dialing end when servers come, go, lie and fall silent.

import assert from "node:assert/strict";
import { Err, StoreError } from "../../../src/base/errors.ts";
import type { RpcSettings } from "../../../src/rpc/contract.ts";
import { FrameKind } from "../../../src/rpc/frame.ts";
import { encodeHello } from "../../../src/rpc/hello.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { encode } from "../../../src/schema/codec.ts";
import {
  CLIENT,
  Echo,
  frameOf,
  ManualTimers,
  MemoryLog,
  Note,
  optionsOf,
  SERVER,
  Stranger,
  until,
} from "./fixture.ts";

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

async function startServer(address: string, identity = SERVER): Promise<[TcpRpcServer, string]> {
  const server = new TcpRpcServer(optionsOf(identity));
  server.handle(Echo, (request, call) => call.reply({ body: request.body }));
  return [server, await server.listen(address)];
}

interface Fake {
  readonly client: TcpRpcClient;
  readonly to: string;
  readonly timers: ManualTimers;
  readonly log: MemoryLog;
  readonly events: string[];
  /** The next connection the client makes. */
  accept(): Promise<Stranger>;
}

/** A listener without manners, and a client. */
async function withFake(
  settings: Partial<RpcSettings>,
  test: (fake: Fake) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const timers = new ManualTimers();
  const log = new MemoryLog();
  const client = new TcpRpcClient(optionsOf(CLIENT, settings, timers, log));
  const events: string[] = [];
  client.onPeer = (_address, event) => events.push(event);
  const accepted: Stranger[] = [];
  const accept = async () => {
    const stranger = new Stranger(await listener.accept());
    accepted.push(stranger);
    return stranger;
  };
  try {
    const to = `127.0.0.1:${listener.addr.port}`;
    await test({ client, to, timers, log, events, accept });
  } finally {
    for (const stranger of accepted) stranger.close();
    await client.close();
    listener.close();
  }
}

const serverHello = frameOf(FrameKind.HELLO, 0, 0, 0, encodeHello(SERVER));

/** Accepts and greets like a server. */
async function acceptAndGreet(fake: Fake): Promise<Stranger> {
  const stranger = await fake.accept();
  assert.equal((await stranger.read())!.kind, FrameKind.HELLO);
  await stranger.write(serverHello);
  return stranger;
}

Deno.test("RpcClient reports a server down and reconnected", async () => {
  const timers = new ManualTimers();
  const client = new TcpRpcClient(optionsOf(CLIENT, {}, timers));
  const events: string[] = [];
  client.onPeer = (_address, event) => events.push(event);
  let [server, to] = await startServer("127.0.0.1:0");
  assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), 0);
  assert.deepEqual(events, []);
  await server.close(0);
  // It was in use, so it is dialed again at once, in vain.
  await until(() => events.length === 1, "down");
  assert.deepEqual(events, ["down"]);
  // During the pause nothing is dialed.
  assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.CONNECT_FAILED);
  assert.deepEqual(events, ["down"]);
  [server] = await startServer(to);
  timers.advance(2000);
  assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), 0);
  assert.deepEqual(events, ["down", "reconnected"]);
  await client.close();
  await server.close(0);
});

Deno.test("RpcClient dials again after the pause when a message was dropped", async () => {
  await withFake({}, async (fake) => {
    const { client, to, timers, events } = fake;
    client.send(to, Note, { number: 1 });
    const first = await acceptAndGreet(fake);
    assert.equal((await first.read())!.kind, FrameKind.ONEWAY);
    first.close();
    // In use: dialed at once. This one is broken at once too, so now it waits.
    (await acceptAndGreet(fake)).close();
    await until(() => events.length === 1, "reconnected");
    client.send(to, Note, { number: 2 });
    for (let i = 0; i < 20; i++) {
      client.send(to, Note, { number: 3 });
      timers.advance(100);
    }
    const third = await acceptAndGreet(fake);
    await until(() => events.length === 2, "reconnected again");
    assert.deepEqual(events, ["reconnected", "reconnected"]);
    third.close();
  });
});

Deno.test("RpcClient doubles the pause between attempts up to its bound", async () => {
  const timers = new ManualTimers();
  // Nobody listens on this port: it was free a moment ago.
  const [server, to] = await startServer("127.0.0.1:0");
  await server.close(0);
  const settings = { reconnectMinMs: 100, reconnectMaxMs: 400 };
  const client = new TcpRpcClient(optionsOf(CLIENT, settings, timers));
  let attempts = 0;
  client.onPeer = () => attempts++;
  const callFails = async () =>
    assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.CONNECT_FAILED);
  await callFails();
  for (const [i, pauseMs] of [100, 200, 400, 400].entries()) {
    assert.equal(attempts, i + 1);
    timers.advance(pauseMs - 1);
    await callFails();
    assert.equal(attempts, i + 1, `no attempt within ${pauseMs} ms`);
    timers.advance(1);
    await callFails();
  }
  assert.equal(attempts, 5);
  await client.close();
});

Deno.test("RpcClient loses calls in flight when a connection breaks, and dials again at once", async () => {
  await withFake({}, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 1000));
    const stranger = await acceptAndGreet(fake);
    assert.equal((await stranger.read())!.kind, FrameKind.REQUEST);
    stranger.close();
    assert.equal(await call, Err.CONNECTION_LOST);
    await acceptAndGreet(fake);
    await until(() => fake.events.length === 1, "reconnected");
    assert.deepEqual(fake.events, ["reconnected"]);
  });
});

Deno.test("RpcClient dials once when a lost call is repeated at once, and looks after the repetition", async () => {
  // Nobody wonders about the silence of the first connection.
  await withFake({ answerProbeMs: 60_000 }, async (fake) => {
    const codes: number[] = [];
    const again = () =>
      fake.client.start(fake.to, Echo, { body }, 2000, (code) => codes.push(code));
    fake.client.start(fake.to, Echo, { body }, 60_000, (code) => {
      codes.push(code);
      // Before the client has heard of the loss to its end.
      again();
    });
    const first = await acceptAndGreet(fake);
    assert.equal((await first.read())!.kind, FrameKind.REQUEST);
    // A connection that lasted is dialed again without a pause.
    fake.timers.advance(1500);
    first.close();
    const second = await acceptAndGreet(fake);
    assert.equal((await second.read())!.kind, FrameKind.REQUEST);
    const third = fake.accept().then(() => "a third connection");
    const quiet = new Promise((resolve) => setTimeout(() => resolve("none"), 50));
    assert.equal(await Promise.race([third, quiet]), "none");
    fake.timers.advance(2100);
    await until(() => codes.length === 2, "the repetition ends");
    assert.deepEqual(codes, [Err.CONNECTION_LOST, Err.TIMEOUT]);
  });
});

Deno.test("RpcClient drops a server that falls silent", async () => {
  await withFake({ keepAliveMs: 1000 }, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 60_000));
    const stranger = await acceptAndGreet(fake);
    assert.equal((await stranger.read())!.kind, FrameKind.REQUEST);
    fake.timers.advance(1000);
    assert.equal((await stranger.read())!.kind, FrameKind.PING);
    fake.timers.advance(1000);
    assert.equal(await call, Err.CONNECTION_LOST);
    assert.ok(fake.log.has("The peer was silent for 2000 ms"));
  });
});

Deno.test("RpcClient probes a server that owes an answer long before a silent one", async () => {
  await withFake({}, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 600_000));
    const stranger = await acceptAndGreet(fake);
    assert.equal((await stranger.read())!.kind, FrameKind.REQUEST);
    fake.timers.advance(1200);
    assert.equal((await stranger.read())!.kind, FrameKind.PING);
    // This process stands still: what the server said meanwhile would not have been read.
    fake.timers.jump(60_000);
    fake.timers.advance(1500);
    await stranger.write(frameOf(FrameKind.PING));
    assert.equal((await stranger.read())!.kind, FrameKind.PONG);
    fake.timers.advance(1200);
    assert.equal((await stranger.read())!.kind, FrameKind.PING);
    fake.timers.advance(2100);
    assert.equal(await call, Err.CONNECTION_LOST);
  });
});

Deno.test("RpcClient leaves a silent connection when the server answers on another one", async () => {
  await withFake({}, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 600_000));
    const dead = await acceptAndGreet(fake);
    assert.equal((await dead.read())!.kind, FrameKind.REQUEST);
    fake.timers.advance(400);
    assert.equal((await dead.read())!.kind, FrameKind.PING);
    fake.timers.advance(300);
    const alive = await acceptAndGreet(fake);
    await until(() => {
      fake.timers.jump(1);
      return fake.events.length > 0;
    }, "the new connection counts");
    assert.deepEqual(fake.events, ["reconnected"]);
    assert.equal(await call, Err.CONNECTION_LOST);
    const again = codeOf(fake.client.call(fake.to, Echo, { body }, 60_000));
    const request = (await alive.read())!;
    assert.equal(request.kind, FrameKind.REQUEST);
    const answer = encode(Echo.response, { body });
    await alive.write(frameOf(FrameKind.RESPONSE, Echo.code, request.id, 0, answer));
    assert.equal(await again, 0);
  });
});

Deno.test("RpcClient keeps a slow connection whose server answers late, or on neither", async () => {
  await withFake({}, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 600_000));
    const slow = await acceptAndGreet(fake);
    const request = (await slow.read())!;
    fake.timers.advance(700);
    // It stands still: the second connection gets no answer either.
    const second = await fake.accept();
    assert.equal((await second.read())!.kind, FrameKind.HELLO);
    fake.timers.advance(1000);
    const answer = encode(Echo.response, { body });
    await slow.write(frameOf(FrameKind.RESPONSE, Echo.code, request.id, 0, answer));
    assert.equal(await call, 0);
    await second.write(serverHello);
    fake.timers.advance(100);
    assert.deepEqual(fake.events, [], "the first one stays");
  });
});

Deno.test("RpcClient gives up on a handshake that does not come", async () => {
  await withFake({ connectTimeoutMs: 500 }, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 60_000));
    const stranger = await fake.accept();
    assert.equal((await stranger.read())!.kind, FrameKind.HELLO);
    fake.timers.advance(500);
    assert.equal(await call, Err.CONNECT_FAILED);
    assert.deepEqual(fake.events, ["down"]);
  });
});

Deno.test("RpcClient ends calls at their deadline while it connects: never sent", async () => {
  await withFake({ connectTimeoutMs: 5000 }, async (fake) => {
    const call = codeOf(fake.client.call(fake.to, Echo, { body }, 100));
    const patient = codeOf(fake.client.call(fake.to, Echo, { body }, 60_000));
    const stranger = await fake.accept();
    assert.equal((await stranger.read())!.kind, FrameKind.HELLO);
    fake.timers.advance(100);
    assert.equal(await call, Err.CONNECT_FAILED);
    await stranger.write(serverHello);
    // Only the patient one is sent, with the time it has left.
    const request = await stranger.read();
    assert.equal(request!.kind, FrameKind.REQUEST);
    assert.equal(request!.word, 59_900);
    await stranger.write(
      frameOf(FrameKind.RESPONSE, Echo.code, request!.id, 0, encode(Echo.response, { body })),
    );
    assert.equal(await patient, 0);
  });
});

Deno.test("RpcClient never sends calls to another cluster", async () => {
  const [server, to] = await startServer("127.0.0.1:0", { ...SERVER, cluster: "other" });
  let seen = 0;
  server.handle(Echo, () => seen++);
  const client = new TcpRpcClient(optionsOf(CLIENT));
  assert.equal(await codeOf(client.call(to, Echo, { body }, 1000)), Err.PROTOCOL_VERSION);
  assert.equal(seen, 0);
  await client.close();
  await server.close(0);
});

Deno.test("RpcClient reports garbage, wrong answers and unreadable answers without harm", async () => {
  await withFake({}, async (fake) => {
    const { client, to } = fake;
    const call = codeOf(client.call(to, Echo, { body }, 1000));
    const stranger = await acceptAndGreet(fake);
    const request = await stranger.read();
    // Nobody asked for 12345; then an answer of the wrong shape.
    await stranger.write(frameOf(FrameKind.RESPONSE, Echo.code, 12345));
    await stranger.write(
      frameOf(FrameKind.RESPONSE, Echo.code, request!.id, 0, new Uint8Array([1])),
    );
    assert.equal(await call, Err.INTERNAL);
    const second = codeOf(client.call(to, Echo, { body }, 1000));
    assert.equal((await stranger.read())!.kind, FrameKind.REQUEST);
    await stranger.write(new Uint8Array(100));
    assert.equal(await second, Err.CONNECTION_LOST);
    assert.ok(fake.log.has("Not a frame"));
  });
});

Deno.test("RpcClient sheds load when the server does not read", async () => {
  await withFake({ sendBufferBytesMax: 1_000_000 }, async (fake) => {
    const { client, to } = fake;
    const opened = codeOf(client.call(to, Echo, { body }, 1000));
    const stranger = await acceptAndGreet(fake);
    await stranger.read();
    const codes: number[] = [];
    const large = new Uint8Array(100_000);
    // 40 MB of calls: the kernel takes some of them, the bound takes one more MB.
    for (let i = 0; i < 400; i++) {
      client.start(to, Echo, { body: large }, 1000, (code) => codes.push(code));
      client.send(to, Note, { number: i });
      await Promise.resolve();
    }
    await until(() => codes.length > 0, "calls are refused");
    assert.ok(codes.length > 100 && codes.every((code) => code === Err.BUSY));
    stranger.close();
    assert.equal(await opened, Err.CONNECTION_LOST);
  });
});

Deno.test("RpcClient dials elsewhere by its dial map, and refuses nonsense addresses", async () => {
  const [server, to] = await startServer("127.0.0.1:0");
  const dialMap = new Map([["node-7:34801", to]]);
  const client = new TcpRpcClient({ ...optionsOf(CLIENT), dialMap });
  assert.equal(await codeOf(client.call("node-7:34801", Echo, { body }, 1000)), 0);
  for (const address of ["", "nowhere", "a:b", "127.0.0.1:99999"]) {
    assert.equal(await codeOf(client.call(address, Echo, { body }, 1000)), Err.CONNECT_FAILED);
  }
  await client.close();
  await server.close(0);
});

Deno.test("RpcClient disconnect() loses calls in flight and dials again on demand", async () => {
  await withFake({}, async (fake) => {
    const { client, to } = fake;
    const call = codeOf(client.call(to, Echo, { body }, 1000));
    const stranger = await acceptAndGreet(fake);
    await stranger.read();
    client.disconnect(to);
    assert.equal(await call, Err.CONNECTION_LOST);
    client.send(to, Note, { number: 1 });
    const second = await acceptAndGreet(fake);
    assert.equal((await second.read())!.kind, FrameKind.ONEWAY);
    assert.deepEqual(fake.events, []);
    client.disconnect("127.0.0.1:1");
  });
});
