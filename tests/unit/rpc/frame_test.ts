// Frames survive every way a network may cut them, and nothing else passes the parser.

import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameKind, FrameParser, FrameWriter, HEADER_BYTES } from "../../../src/rpc/frame.ts";

interface Frame {
  kind: number;
  code: number;
  id: number;
  word: number;
  body: Uint8Array;
}

const FRAME_BYTES_MAX = 100_000;

const frame: fc.Arbitrary<Frame> = fc.record({
  kind: fc.integer({ min: 1, max: 8 }),
  code: fc.integer({ min: 0, max: 0xffff }),
  id: fc.integer({ min: 0, max: 0xffffffff }),
  word: fc.integer({ min: 0, max: 0xffffffff }),
  body: fc.uint8Array({ maxLength: 300 }),
}, { noNullPrototype: true });

function encodeAll(frames: readonly Frame[]): Uint8Array {
  const writer = new FrameWriter(64);
  for (const f of frames) writer.add(f.kind, f.code, f.id, f.word, f.body);
  return writer.take();
}

function drain(parser: FrameParser, into: Frame[]): string {
  while (true) {
    const parsed = parser.next();
    if (parsed !== "frame") return parsed;
    const { kind, code, id, word } = parser;
    into.push({ kind, code, id, word, body: parser.body.slice() });
  }
}

function parse(...chunks: Uint8Array[]): { frames: Frame[]; end: string; fault: string } {
  const parser = new FrameParser(FRAME_BYTES_MAX);
  const frames: Frame[] = [];
  let end = "more";
  for (const chunk of chunks) {
    parser.push(chunk);
    end = drain(parser, frames);
  }
  return { frames, end, fault: parser.fault };
}

const SAMPLE: Frame[] = [
  { kind: FrameKind.HELLO, code: 0, id: 0, word: 0, body: new Uint8Array([1, 2, 3]) },
  { kind: FrameKind.REQUEST, code: 120, id: 0xffffffff, word: 5000, body: new Uint8Array(500) },
  { kind: FrameKind.ERROR, code: 0xffff, id: 7, word: 0xfffffffe, body: new Uint8Array(0) },
];

Deno.test("FrameParser takes one byte at a time", () => {
  const bytes = encodeAll(SAMPLE);
  const { frames } = parse(...Array.from(bytes, (byte) => new Uint8Array([byte])));
  assert.deepEqual(frames, SAMPLE);
});

Deno.test("FrameParser gives the same frames for every way to cut the stream", () => {
  fc.assert(fc.property(
    fc.array(frame, { maxLength: 20 }),
    fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 40 }),
    (frames, sizes) => {
      const bytes = encodeAll(frames);
      const chunks: Uint8Array[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const end = Math.min(bytes.length, at + sizes[i % sizes.length]!);
        chunks.push(bytes.slice(at, end));
        at = end;
      }
      const result = parse(...chunks);
      assert.deepEqual(result.frames, frames);
      assert.equal(result.end, "more");
    },
  ));
});

Deno.test("FrameParser keeps chunks in order that arrive before it is asked", () => {
  const bytes = encodeAll(SAMPLE);
  const parser = new FrameParser(FRAME_BYTES_MAX);
  for (let at = 0; at < bytes.length; at += 50) parser.push(bytes.slice(at, at + 50));
  assert.equal(parser.heldBytes, bytes.length);
  const frames: Frame[] = [];
  assert.equal(drain(parser, frames), "more");
  assert.deepEqual(frames, SAMPLE);
  assert.equal(parser.heldBytes, 0);
});

Deno.test("FrameParser does not copy frames that lie inside a chunk", () => {
  const bytes = encodeAll(SAMPLE);
  const parser = new FrameParser(FRAME_BYTES_MAX);
  parser.push(bytes);
  assert.equal(parser.next(), "frame");
  assert.equal(parser.body.buffer, bytes.buffer);
});

Deno.test("FrameParser does not allocate what a peer only announces", () => {
  const parser = new FrameParser(1 << 30);
  const writer = new FrameWriter();
  writer.add(FrameKind.REQUEST, 1, 1, 1, new Uint8Array(100));
  const head = writer.take().slice(0, HEADER_BYTES);
  new DataView(head.buffer).setUint32(20, 500_000_000, true);
  parser.push(head);
  const before = Deno.memoryUsage().external;
  assert.equal(parser.next(), "more");
  assert.ok(parser.partial);
  assert.ok(Deno.memoryUsage().external - before < 1_000_000);
});

Deno.test("FrameParser refuses every damaged byte", () => {
  const good = encodeAll(SAMPLE.slice(0, 1));
  const next = encodeAll(SAMPLE.slice(1));
  for (let at = 0; at < good.length; at++) {
    for (const bit of [1, 0x10, 0x80]) {
      const bad = good.slice();
      bad[at]! ^= bit;
      const { frames, end, fault } = parse(bad, next);
      // A damaged length may also make the parser wait for more; it must never deliver the frame.
      assert.ok(end === "broken" ? fault !== "" : at >= 20 && at < 24, `byte ${at} bit ${bit}`);
      assert.deepEqual(frames, []);
    }
  }
});

Deno.test("FrameParser names what is wrong and stays broken", () => {
  const http = parse(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  assert.match(http.fault, /Not a frame/);
  assert.match(parse(new Uint8Array([0x50, 0x48])).fault, /byte 1 is 72/);
  const big = parse(encodeAll([{ ...SAMPLE[0]!, body: new Uint8Array(FRAME_BYTES_MAX) }]));
  assert.match(big.fault, /at most 100000/);

  const parser = new FrameParser(FRAME_BYTES_MAX);
  parser.push(new Uint8Array([1]));
  assert.equal(parser.next(), "broken");
  parser.push(encodeAll(SAMPLE));
  assert.equal(parser.next(), "broken");
  assert.equal(parser.heldBytes, 0);
});

Deno.test("FrameParser delivers the frames before the fault", () => {
  const good = encodeAll(SAMPLE);
  const all = new Uint8Array(good.length + 10);
  all.set(good);
  const { frames, end } = parse(all);
  assert.deepEqual(frames, SAMPLE);
  assert.equal(end, "broken");
});

Deno.test("FrameParser never throws and never delivers noise", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (noise) => {
    assert.deepEqual(parse(...noise).frames, []);
  }));
});

Deno.test("FrameWriter reuses a buffer that was given back", () => {
  const writer = new FrameWriter(256);
  writer.add(FrameKind.PING, 0, 0, 0, new Uint8Array(0));
  const first = writer.take();
  writer.recycle(first);
  assert.equal(writer.length, 0);
  writer.add(FrameKind.PONG, 0, 0, 0, new Uint8Array(0));
  writer.take();
  writer.add(FrameKind.REQUEST, 1, 2, 3, new Uint8Array(10));
  const third = writer.take();
  assert.equal(third.buffer, first.buffer);
  assert.equal(parse(third).frames[0]!.id, 2);
});
