// One connection over a wire made of arrays: what leaves in which socket write.

import assert from "node:assert/strict";
import { Connection, type ConnectionOwner } from "../../../src/rpc/connection.ts";
import { FrameKind, FrameParser } from "../../../src/rpc/frame.ts";
import { encodeHello } from "../../../src/rpc/hello.ts";
import { rpcContext } from "../../../src/rpc/options.ts";
import type { Wire, WireEvents } from "../../../src/rpc/tcp_transport.ts";
import { CLIENT, frameOf, ManualTimers, optionsOf, SERVER } from "./fixture.ts";

class MemoryWire implements Wire {
  readonly remote = "nowhere:1";
  readonly closed = Promise.resolve();
  readonly writes: Uint8Array[] = [];
  /** Acknowledgements of writes, to be called by the test. */
  readonly taken: (() => void)[] = [];
  isPaused = false;
  isEnded = false;
  events!: WireEvents;

  open(events: WireEvents): void {
    this.events = events;
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.writes.push(bytes.slice());
    this.taken.push(done);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isEnded = true;
  }
}

function kindsOf(bytes: Uint8Array): number[] {
  const parser = new FrameParser(1 << 24);
  parser.push(bytes);
  const kinds: number[] = [];
  while (parser.next() === "frame") kinds.push(parser.kind);
  assert.equal(parser.fault, "");
  return kinds;
}

const hello = frameOf(FrameKind.HELLO, 0, 0, 0, encodeHello(CLIENT));
const body = new Uint8Array(100);

interface Bench {
  readonly wire: MemoryWire;
  readonly connection: Connection;
  readonly timers: ManualTimers;
  readonly closes: string[];
}

/** An accepted connection after its handshake; `onFrame` and `onBatchEnd` are the test's. */
function accepted(owner: Partial<ConnectionOwner>, sendBufferBytesMax = 1_000_000): Bench {
  const wire = new MemoryWire();
  const timers = new ManualTimers();
  const closes: string[] = [];
  const context = rpcContext(optionsOf(SERVER, { sendBufferBytesMax }, timers));
  const connection = new Connection(
    wire,
    context,
    {
      onOpen: () => {},
      onFrame: () => {},
      onBatchEnd: () => {},
      onBye: () => {},
      onClose: (_code, reason) => closes.push(reason),
      ...owner,
    },
    "acceptor",
    timers.now() + 1000,
  );
  wire.events.onData(hello);
  assert.deepEqual(wire.writes.splice(0).map(kindsOf), [[FrameKind.HELLO]]);
  wire.taken.shift()!();
  return { wire, connection, timers, closes };
}

Deno.test("Connection sends all frames of one read in one write, before the turn ends", () => {
  let frames = 0;
  const bench: Bench = accepted({
    onFrame: (frame) => {
      frames++;
      bench.connection.send(FrameKind.RESPONSE, 1, frame.id, 0, body);
    },
    onBatchEnd: () => {
      if (frames === 3) bench.connection.send(FrameKind.RESPONSE, 1, 99, 0, body);
    },
  });
  const one = frameOf(FrameKind.REQUEST, 1, 1, 1000, body);
  bench.wire.events.onData(new Uint8Array([...one, ...one, ...one]));
  const response = FrameKind.RESPONSE;
  assert.deepEqual(bench.wire.writes.map(kindsOf), [[response, response, response, response]]);
});

Deno.test("Connection gathers frames sent by promises of one turn", async () => {
  const { wire, connection } = accepted({});
  const sendAfter = async (hops: number) => {
    for (let i = 0; i < hops; i++) await null;
    connection.send(FrameKind.ONEWAY, 1, 0, 0, body);
  };
  await Promise.all([sendAfter(0), sendAfter(0), sendAfter(1), sendAfter(2)]);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(wire.writes.length, 1);
  assert.equal(kindsOf(wire.writes[0]!).length, 4);
});

Deno.test("Connection does not let a stream of microtasks hold frames back for ever", async () => {
  const { wire, connection } = accepted({});
  for (let i = 0; i < 50 && wire.writes.length === 0; i++) {
    connection.send(FrameKind.ONEWAY, 1, 0, 0, body);
    await null;
  }
  assert.equal(wire.writes.length, 1);
  assert.ok(kindsOf(wire.writes[0]!).length < 10);
});

Deno.test("Connection sends much output early and counts it until the socket took it", () => {
  const { wire, connection } = accepted({}, 1_000_000);
  const large = new Uint8Array(200_000);
  for (let i = 0; i < 5; i++) connection.send(FrameKind.RESPONSE, 1, i, 0, large);
  assert.equal(wire.writes.length, 5);
  assert.ok(connection.congested);
  for (const done of wire.taken.splice(0)) done();
  assert.equal(connection.pendingBytes, 0);
  assert.ok(!connection.congested);
});

Deno.test("Connection stops in the middle of a read and goes on where it stopped", () => {
  const seen: number[] = [];
  const large = new Uint8Array(400_000);
  const bench: Bench = accepted({
    onFrame: (frame) => {
      seen.push(frame.id);
      bench.connection.send(FrameKind.RESPONSE, 1, frame.id, 0, large);
    },
  });
  const { wire } = bench;
  const requests = [1, 2, 3, 4, 5, 6, 7].map((id) => frameOf(FrameKind.REQUEST, 1, id, 1000));
  wire.events.onData(new Uint8Array(requests.flatMap((bytes) => [...bytes])));
  assert.deepEqual(seen, [1, 2, 3]);
  assert.ok(wire.isPaused);
  // A chunk that was already on its way when reading paused.
  wire.events.onData(frameOf(FrameKind.REQUEST, 1, 8, 1000));
  assert.deepEqual(seen, [1, 2, 3]);
  wire.taken.shift()!();
  assert.ok(wire.isPaused, "more than half is still waiting");
  wire.taken.shift()!();
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  while (wire.taken.length > 0) wire.taken.shift()!();
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.ok(!wire.isPaused);
});

Deno.test("Connection does not blame a peer for the time this process was suspended", () => {
  const { wire, timers, connection, closes } = accepted({});
  timers.advance(3_600_000);
  connection.tick(timers.now());
  assert.deepEqual(closes, []);
  assert.ok(connection.isOpen);
  wire.events.onData(frameOf(FrameKind.PONG));
  timers.advance(9_999);
  connection.tick(timers.now());
  assert.deepEqual(closes, []);
});

Deno.test("Connection tells its owner once when it ends", () => {
  const { wire, connection, closes } = accepted({});
  wire.events.onData(new Uint8Array([0]));
  wire.events.onData(frameOf(FrameKind.REQUEST, 1, 1, 1));
  wire.events.onClose("late");
  connection.close(0, "later");
  connection.send(FrameKind.ONEWAY, 1, 0, 0, body);
  connection.flush();
  assert.equal(closes.length, 1);
  assert.ok(wire.isEnded);
  assert.deepEqual(wire.writes.map(kindsOf), [[FrameKind.BYE]]);
});
