// Peers that send garbage, stop in the middle, stop reading, or fall silent: their own connection
// ends in time, with the reason in the log, and nobody else notices.

import assert from "node:assert/strict";
import fc from "fast-check";
import { Err } from "../../../src/base/errors.ts";
import { fromUtf8 } from "../../../src/base/bytes.ts";
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

interface Stage {
  readonly server: TcpRpcServer;
  readonly to: string;
  readonly log: MemoryLog;
  readonly timers: ManualTimers;
  /** A stranger that is closed at the end. */
  dial(): Promise<Stranger>;
}

async function withServer(
  settings: Partial<RpcSettings>,
  test: (stage: Stage) => Promise<void>,
): Promise<void> {
  const log = new MemoryLog();
  const timers = new ManualTimers();
  const server = new TcpRpcServer(optionsOf(SERVER, settings, timers, log));
  server.handle(Echo, (request, call) => call.reply({ body: request.body }));
  const to = await server.listen("127.0.0.1:0");
  const strangers: Stranger[] = [];
  const dial = async () => {
    const stranger = await Stranger.dial(to);
    strangers.push(stranger);
    return stranger;
  };
  try {
    await test({ server, to, log, timers, dial });
  } finally {
    for (const stranger of strangers) stranger.close();
    await server.close(0);
  }
}

const body = new Uint8Array([1, 2, 3]);
const echoBody = encode(Echo.request, { body });

function request(id: number, word = 1000, requestBody = echoBody): Uint8Array {
  return frameOf(FrameKind.REQUEST, Echo.code, id, word, requestBody);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

const hello = frameOf(FrameKind.HELLO, 0, 0, 0, encodeHello(CLIENT));

function damaged(): Uint8Array {
  const frame = request(1);
  frame[frame.length - 1]! ^= 1;
  return frame;
}

const GARBAGE: readonly (readonly [string, Uint8Array, string])[] = [
  ["text", new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), "Not a frame"],
  ["a request before the handshake", request(1), "before the handshake"],
  [
    "an unreadable handshake",
    frameOf(FrameKind.HELLO, 0, 0, 0, new Uint8Array([193, 255])),
    "cannot be read",
  ],
  ["a huge handshake", frameOf(FrameKind.HELLO, 0, 0, 0, new Uint8Array(5000)), "at most 4120"],
  ["a second handshake", join(hello, hello), "A second handshake"],
  ["an answer", join(hello, frameOf(FrameKind.RESPONSE, 1, 1)), "An answer from the dialing end"],
  ["a damaged frame", join(hello, damaged()), "checksum"],
  ["an unknown kind", join(hello, frameOf(99)), "Unknown frame kind 99"],
  ["an oversize frame", join(hello, request(1, 1000, new Uint8Array(20_000))), "at most 10000"],
  ["zeros", join(hello, new Uint8Array(100)), "Not a frame"],
];

for (const [name, bytes, reason] of GARBAGE) {
  Deno.test(`RpcServer closes a connection that sends ${name}, and no other`, async () => {
    await withServer({ frameBytesMax: 10_000 }, async ({ server, dial, log }) => {
      let dispatched = 0;
      server.handle(Echo, (request, call) => {
        dispatched++;
        call.reply({ body: request.body });
      });
      const good = await dial();
      await good.greet();
      const bad = await dial();
      await bad.write(bytes);
      const frames = await bad.readAll();
      const last = frames.at(-1)!;
      assert.equal(last.kind, FrameKind.BYE);
      assert.equal(last.word, Err.PROTOCOL_ERROR);
      assert.ok(fromUtf8(last.body).includes(reason), fromUtf8(last.body));
      assert.ok(log.has(reason), log.lines.join("\n"));
      assert.equal(dispatched, 0);
      await good.write(request(7));
      assert.equal((await good.read())!.id, 7);
      assert.equal(server.connectionCount, 1);
    });
  });
}

Deno.test("RpcServer stands any noise", async () => {
  await withServer({}, async ({ server, to }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { minLength: 1, maxLength: 4 }),
        async (isGreeted, noise) => {
          const stranger = await Stranger.dial(to);
          if (isGreeted) await stranger.greet();
          for (const chunk of noise) await stranger.write(chunk).catch(() => {});
          stranger.close();
        },
      ),
      { numRuns: 30 },
    );
    await until(() => server.connectionCount === 0, "all are gone");
    const good = await Stranger.dial(to);
    await good.greet();
    await good.write(request(1));
    assert.equal((await good.read())!.kind, FrameKind.RESPONSE);
    good.close();
  });
});

Deno.test("RpcServer refuses another cluster and another protocol version", async () => {
  await withServer({}, async ({ dial, log }) => {
    const other = await dial();
    const answer = await other.greet({ ...CLIENT, cluster: "other" });
    assert.equal(answer!.kind, FrameKind.BYE);
    assert.equal(answer!.word, Err.PROTOCOL_VERSION);
    assert.ok(log.has('Clusters differ: ours is "test", theirs is "other"'));

    const newer = await dial();
    const versions = new Uint8Array([0x95, 9, 8, 0xa0, 0xa0, 0xa0]);
    await newer.write(frameOf(FrameKind.HELLO, 0, 0, 0, versions));
    assert.equal((await newer.read())!.word, Err.PROTOCOL_VERSION);
    assert.ok(log.has("ours 1..1, theirs 8..9"));

    const any = await dial();
    assert.equal((await any.greet({ ...CLIENT, cluster: "" }))!.kind, FrameKind.HELLO);
  });
});

Deno.test("RpcServer cuts off a frame and a handshake that do not get complete", async () => {
  await withServer({ frameTimeoutMs: 500 }, async ({ server, dial, timers, log }) => {
    const half = await dial();
    await half.greet();
    await half.write(request(1).subarray(0, 28));
    const silent = await dial();
    // The half frame was read when the answer to a later frame of another connection is here.
    const good = await dial();
    await good.greet();
    await until(() => server.connectionCount === 3, "three connections");
    for (let i = 0; i < 3; i++) {
      await good.write(request(i));
      await good.read();
    }
    timers.advance(499);
    assert.equal(server.connectionCount, 3);
    timers.advance(1);
    assert.equal((await half.readAll()).at(-1)!.word, Err.PROTOCOL_ERROR);
    assert.equal((await silent.readAll()).at(-1)!.word, Err.PROTOCOL_ERROR);
    assert.ok(log.has("A frame was not complete after 500 ms"));
    assert.ok(log.has("The handshake was not done in time"));
    assert.equal(server.connectionCount, 1);
  });
});

Deno.test("RpcServer drops requests whose caller no longer waits", async () => {
  await withServer({}, async ({ server, dial, timers }) => {
    const seen: number[] = [];
    server.handle(Echo, (request, call) => {
      seen.push(request.body.length);
      if (request.body.length === 1) timers.advance(600);
      call.reply({ body: request.body });
    });
    const stranger = await dial();
    await stranger.greet();
    const of = (length: number) => encode(Echo.request, { body: new Uint8Array(length) });
    // One read: the first takes 600 ms, so that a later one is late when its turn comes.
    const late = Array.from({ length: 40 }, (_, i) => request(3 + i, 500, of(3)));
    await stranger.write(join(request(1, 0, of(2)), request(2, 5000, of(1)), ...late));
    await stranger.write(request(99, 5000, of(4)));
    let answer = await stranger.read();
    assert.equal(answer!.id, 2);
    while (answer!.id !== 99) answer = await stranger.read();
    assert.ok(!seen.includes(2));
    assert.ok(seen.filter((length) => length === 3).length < 40);
    assert.equal(seen.at(-1), 4);
  });
});

Deno.test("RpcServer does not grow for a peer that does not read its answers", async () => {
  const settings = { sendBufferBytesMax: 1_000_000, keepAliveMs: 1000 };
  await withServer(settings, async ({ server, to, dial, timers, log }) => {
    const answer = new Uint8Array(100_000);
    let dispatched = 0;
    server.handle(Echo, (request, call) => {
      dispatched++;
      call.reply({ body: request.body.length === 0 ? answer : request.body });
    });
    const slow = await dial();
    await slow.greet();
    // 2,000 small requests ask for 200 MB.
    const small = encode(Echo.request, { body: new Uint8Array(0) });
    const requests = Array.from({ length: 2000 }, (_, id) => request(id, 1_000_000, small));
    const writing = slow.write(join(...requests)).catch(() => {});
    await until(() => log.has("Reading paused"), "reading pauses");
    const client = new TcpRpcClient(optionsOf(CLIENT, {}, timers));
    for (let i = 0; i < 20; i++) await client.call(to, Echo, { body }, 1000);
    // What the kernel took (some MB of socket buffers) and the bound, not 200 MB.
    assert.ok(dispatched < 300, `${dispatched} answers were made`);
    // Once the peer reads, everything arrives.
    for (let id = 0; id < 2000; id++) assert.equal((await slow.read())!.id, id);
    await writing;
    assert.equal(dispatched, 2020);
    await client.close();
  });
});

Deno.test("RpcServer cuts off a peer that never reads", async () => {
  const settings = { sendBufferBytesMax: 1_000_000, keepAliveMs: 1000 };
  await withServer(settings, async ({ server, dial, timers, log }) => {
    server.handle(Echo, (_request, call) => call.reply({ body: new Uint8Array(10_000_000) }));
    const slow = await dial();
    await slow.greet();
    await slow.write(join(request(1, 100_000), request(2, 100_000)));
    await until(() => log.has("Reading paused"), "reading pauses");
    timers.advance(1999);
    assert.equal(server.connectionCount, 1);
    timers.advance(1);
    assert.equal(server.connectionCount, 0);
    assert.ok(log.has("The peer has read nothing for 2000 ms"));
  });
});

Deno.test("RpcServer probes a silent peer, keeps it if it answers and drops it if not", async () => {
  await withServer({ keepAliveMs: 1000 }, async ({ server, dial, timers, log }) => {
    const stranger = await dial();
    await stranger.greet();
    timers.advance(1000);
    assert.equal((await stranger.read())!.kind, FrameKind.PING);
    await stranger.write(join(frameOf(FrameKind.PONG), request(1)));
    await stranger.read();
    timers.advance(1000);
    assert.equal((await stranger.read())!.kind, FrameKind.PING);
    timers.advance(999);
    assert.equal(server.connectionCount, 1);
    timers.advance(1);
    assert.equal(server.connectionCount, 0);
    assert.ok(log.has("The peer was silent for 2000 ms"));
  });
});

Deno.test("RpcServer answers pings", async () => {
  await withServer({}, async ({ dial }) => {
    const stranger = await dial();
    await stranger.greet();
    await stranger.write(frameOf(FrameKind.PING, 0, 77));
    const answer = await stranger.read();
    assert.deepEqual([answer!.kind, answer!.id], [FrameKind.PONG, 77]);
  });
});

Deno.test("RpcServer refuses connections over its limit and says why", async () => {
  await withServer({ connectionsMax: 1 }, async ({ server, dial, log }) => {
    const first = await dial();
    await first.greet();
    const second = await dial();
    assert.equal((await second.readAll()).at(-1)!.word, Err.BUSY);
    assert.ok(log.has("The server has 1 connections already"));
    first.close();
    await until(() => server.connectionCount === 0, "the first left");
    const third = await dial();
    assert.equal((await third.greet())!.kind, FrameKind.HELLO);
  });
});

Deno.test("RpcServer lets the connection give way that has waited longest for its handshake", async () => {
  await withServer({ connectionsMax: 3 }, async ({ server, dial }) => {
    const served = await dial();
    await served.greet();
    const silent = [await dial(), await dial()];
    await until(() => server.connectionCount === 3, "the server is full");
    const late = await dial();
    assert.equal((await silent[0]!.readAll()).at(-1)!.word, Err.BUSY);
    assert.equal((await late.greet())!.kind, FrameKind.HELLO);
    assert.equal((await silent[1]!.greet())!.kind, FrameKind.HELLO);
    // Everybody has said who he is: now the newcomer has to wait.
    const tooLate = await dial();
    assert.equal((await tooLate.readAll()).at(-1)!.word, Err.BUSY);
    await served.write(frameOf(FrameKind.PING, 0, 7));
    assert.equal((await served.read())!.kind, FrameKind.PONG);
  });
});

Deno.test("RpcServer drops messages it does not know or cannot decode", async () => {
  await withServer({}, async ({ server, dial, log }) => {
    const seen: number[] = [];
    server.handle(Note, ({ number }) => {
      seen.push(number);
      if (number === 1) throw new Error("planned");
    });
    const stranger = await dial();
    await stranger.greet();
    const note = (bytes: Uint8Array) => frameOf(FrameKind.ONEWAY, Note.code, 0, 0, bytes);
    await stranger.write(join(
      frameOf(FrameKind.ONEWAY, 59_999),
      note(new Uint8Array([0xc1])),
      note(encode(Note.request, { number: 1 })),
      note(encode(Note.request, { number: 2 })),
      request(1),
    ));
    assert.equal((await stranger.read())!.id, 1);
    assert.deepEqual(seen, [1, 2]);
    for (const part of ["without a handler", "cannot be decoded", "Handler failed"]) {
      assert.ok(log.has(part), part);
    }
  });
});

Deno.test("A client that vanishes takes nothing with it", async () => {
  await withServer({}, async ({ server, dial }) => {
    const held: (() => void)[] = [];
    server.handle(Echo, (request, call) => {
      const kept = request.body.slice();
      held.push(() => call.reply({ body: kept }));
    });
    const stranger = await dial();
    await stranger.greet();
    await stranger.write(request(1));
    await until(() => held.length === 1, "the request");
    stranger.close();
    await until(() => server.connectionCount === 0, "the server notices");
    held[0]!();
  });
});
