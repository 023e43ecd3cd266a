// Checksums and frames: what every byte on a connection costs on either side.
// Run: deno bench --allow-read --allow-env tests/bench/frame_bench.ts

import { crc32 } from "../../src/base/crc.ts";
import { FrameKind, FrameParser, FrameWriter } from "../../src/rpc/frame.ts";
import { partitionIndexOf } from "../../src/schema/key_format.ts";

const FRAMES = 32;
const BODY = new Uint8Array(150).fill(7);

for (const bytes of [64, 400, 4096, 65536]) {
  const data = new Uint8Array(bytes).fill(3);
  Deno.bench(`crc32 of ${bytes} bytes`, { group: "crc32" }, () => void crc32(data));
}

const hashKey = new TextEncoder().encode("user123456");
const sortKey = new TextEncoder().encode("r00000");
Deno.bench("partition of a key (crc64)", () => void partitionIndexOf(hashKey, sortKey, 8));

function fill(writer: FrameWriter): Uint8Array {
  for (let i = 0; i < FRAMES; i++) writer.add(FrameKind.REQUEST, 101, i, 1000, BODY);
  return writer.take();
}

const writer = new FrameWriter();
Deno.bench(`FrameWriter: ${FRAMES} frames of 150 bytes`, { group: "frames" }, () => {
  writer.recycle(fill(writer));
});

const chunk = fill(new FrameWriter()).slice();
const parser = new FrameParser(1 << 20);
Deno.bench(`FrameParser: ${FRAMES} frames in one chunk`, { group: "frames" }, () => {
  parser.push(chunk);
  while (parser.next() === "frame");
});

const halves = [chunk.subarray(0, 1000), chunk.subarray(1000)];
Deno.bench(`FrameParser: ${FRAMES} frames, one cut by the network`, { group: "frames" }, () => {
  for (const half of halves) {
    parser.push(half);
    while (parser.next() === "frame");
  }
});
