// Frames: the unit in which bytes travel, as one parser and one writer.
// Invariant: a frame leaves the parser only if its magic, kind, flags, length and checksum are
// right, whatever chunks the network made of it; after the first fault the parser delivers nothing
// more.
// The layout is docs/protocol.md, "Frames"; all integers are little-endian.

import { assert } from "../base/assert.ts";
import { EMPTY } from "../base/bytes.ts";
import { crc32 } from "../base/crc.ts";

/** Size of the header before every body. */
export const HEADER_BYTES = 24;

/** The first four bytes of every frame, "PGS1" read as a little-endian integer. */
export const MAGIC = 0x31534750;

/** What a frame is. The numbers travel; never reused. */
export const FrameKind = {
  /** First frame in both directions: who I am. */
  HELLO: 1,
  /** A call; `word` is the time its caller still waits, in ms. */
  REQUEST: 2,
  /** A message without an answer. */
  ONEWAY: 3,
  /** The answer to the request of the same id. */
  RESPONSE: 4,
  /** The failure of the request of the same id; `word` is the error code, the body a text. */
  ERROR: 5,
  /** Are you there? */
  PING: 6,
  /** I am. */
  PONG: 7,
  /** I close: `word` 0 after the running calls, otherwise now, with an error code and a text. */
  BYE: 8,
  /** Question and answer about who the dialer is, between the two HELLOs. */
  AUTH: 9,
} as const;

const KIND_MAX = 9;
// A tail starts small and doubles: a peer that only announces a large frame makes nobody allocate
// it.
const TAIL_BYTES_MIN = 4096;
const SPARE_BYTES_MAX = 1024 * 1024;

/** Result of {@link FrameParser.next}. */
export type Parsed = "frame" | "more" | "broken";

/**
 * Cuts a stream into frames. Give it chunks with `push`, take frames with `next` until it says
 * "more". The frame's fields are properties of the parser and hold until the next call. A frame
 * that lies inside one chunk is a view of that chunk; only a frame that straddles chunks is copied,
 * once.
 */
export class FrameParser {
  kind = 0;
  code = 0;
  id = 0;
  word = 0;
  body: Uint8Array = EMPTY;
  /** Why the stream is broken; "" while it is not. */
  fault = "";
  /** Largest frame accepted, header included, bytes; may be raised between frames. */
  frameBytesMax: number;

  // Chunks pushed and not yet begun; more than one only while the connection is paused.
  readonly #chunks: Uint8Array[] = [];
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  // The head of a frame that straddles chunks: #tail[0 .. #have).
  #tail: Uint8Array = EMPTY;
  #have = 0;

  /** @param frameBytesMax See the property. */
  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax;
  }

  /**
   * Takes a chunk. It must not change afterwards: frames and what is decoded from them are views of
   * it.
   */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.fault !== "") return;
    if (this.#at === this.#chunk.length) {
      this.#chunk = chunk;
      this.#at = 0;
    } else this.#chunks.push(chunk);
  }

  /** Whether a frame has begun and is not complete. Meaningful after `next` said "more". */
  get partial(): boolean {
    return this.#have > 0;
  }

  /** Bytes held: not yet parsed, or of a frame that is not complete. */
  get heldBytes(): number {
    let bytes = this.#have + this.#chunk.length - this.#at;
    for (const chunk of this.#chunks) bytes += chunk.length;
    return bytes;
  }

  /** Advances to the next frame. "broken" is final and says why in `fault`. */
  next(): Parsed {
    if (this.fault !== "") return "broken";
    while (true) {
      if (this.#have > 0) {
        const parsed = this.#nextFromTail();
        if (parsed !== "more") return parsed;
      } else {
        const left = this.#chunk.length - this.#at;
        const total = left === 0 ? 0 : this.#frameBytes(this.#chunk, this.#at, left);
        if (total < 0) return "broken";
        if (total > 0 && total <= left) {
          const at = this.#at;
          this.#at += total;
          return this.#deliver(this.#chunk, at, total);
        }
        if (left > 0) this.#take(left, total === 0 ? HEADER_BYTES : total);
      }
      const chunk = this.#chunks.shift();
      if (chunk === undefined) {
        this.#chunk = EMPTY;
        this.#at = 0;
        return "more";
      }
      this.#chunk = chunk;
      this.#at = 0;
    }
  }

  // Completes the frame in the tail from the current chunk: first its header, then the rest.
  #nextFromTail(): Parsed {
    while (true) {
      const total = this.#frameBytes(this.#tail, 0, this.#have);
      if (total < 0) return "broken";
      if (total > 0 && this.#have === total) {
        const tail = this.#tail;
        this.#tail = EMPTY;
        this.#have = 0;
        return this.#deliver(tail, 0, total);
      }
      const left = this.#chunk.length - this.#at;
      if (left === 0) return "more";
      const want = total === 0 ? HEADER_BYTES : total;
      this.#take(Math.min(left, want - this.#have), want);
    }
  }

  // Moves bytes from the chunk to the tail; the tail never grows beyond the `want` bytes known to
  // come.
  #take(bytes: number, want: number): void {
    const end = this.#have + bytes;
    if (end > this.#tail.length) {
      const double = Math.max(end, this.#tail.length * 2, TAIL_BYTES_MIN);
      const grown = new Uint8Array(Math.min(want, double));
      grown.set(this.#tail.subarray(0, this.#have));
      this.#tail = grown;
    }
    this.#tail.set(this.#chunk.subarray(this.#at, this.#at + bytes), this.#have);
    this.#at += bytes;
    this.#have = end;
  }

  // Size of the frame whose first `have` bytes stand at `at`: 0 = not known yet, -1 = not a frame
  // of ours.
  #frameBytes(bytes: Uint8Array, at: number, have: number): number {
    if (have < HEADER_BYTES || getU32(bytes, at) !== MAGIC) {
      // Byte by byte, so that the first wrong one is enough: no waiting for the rest of somebody's
      // HTTP.
      for (let i = 0; i < 4 && i < have; i++) {
        if (bytes[at + i] !== ((MAGIC >>> (8 * i)) & 0xff)) {
          // Alerts and handshakes of TLS begin with these.
          const hint = i === 0 && (bytes[at] === 21 || bytes[at] === 22)
            ? ": one end speaks TLS, the other does not"
            : "";
          return this.#break(
            `Not a frame: byte ${i} is ${bytes[at + i]}, expected the magic "PGS1"${hint}`,
          );
        }
      }
      return 0;
    }
    const kind = bytes[at + 8]!;
    if (kind === 0 || kind > KIND_MAX) return this.#break(`Unknown frame kind ${kind}`);
    const flags = bytes[at + 9]!;
    if (flags !== 0) return this.#break(`Unknown frame flags ${flags}`);
    const total = HEADER_BYTES + getU32(bytes, at + 20);
    if (total > this.frameBytesMax) {
      return this.#break(`Frame of ${total} bytes, at most ${this.frameBytesMax} are allowed`);
    }
    return total;
  }

  #deliver(bytes: Uint8Array, at: number, total: number): Parsed {
    const end = at + total;
    const sum = crc32(bytes.subarray(at + 8, end));
    if (sum !== getU32(bytes, at + 4)) {
      this.#break(`Frame checksum is ${getU32(bytes, at + 4)}, its bytes have ${sum}`);
      return "broken";
    }
    this.kind = bytes[at + 8]!;
    this.code = bytes[at + 10]! | (bytes[at + 11]! << 8);
    this.id = getU32(bytes, at + 12);
    this.word = getU32(bytes, at + 16);
    this.body = bytes.subarray(at + HEADER_BYTES, end);
    return "frame";
  }

  #break(fault: string): -1 {
    this.fault = fault;
    this.#chunks.length = 0;
    this.#chunk = this.#tail = EMPTY;
    this.#at = this.#have = 0;
    return -1;
  }
}

/** Collects frames in one growing buffer, so that many of them leave in one socket write. */
export class FrameWriter {
  #buffer: Uint8Array;
  #end = 0;
  #spare: Uint8Array | undefined;
  readonly #startBytes: number;

  /** @param startBytes First size of the buffer; it doubles as needed. */
  constructor(startBytes = 4096) {
    this.#startBytes = startBytes;
    this.#buffer = EMPTY;
  }

  /** Bytes collected since the last `take`. */
  get length(): number {
    return this.#end;
  }

  /**
   * Appends one frame. Bounds: `code` 16 bits, `id` and `word` 32 bits, unsigned. The body is
   * copied.
   */
  add(kind: number, code: number, id: number, word: number, body: Uint8Array): void {
    const at = this.#end;
    const end = at + HEADER_BYTES + body.length;
    assert(code >= 0 && code <= 0xffff, "Frame code out of range", { code });
    if (end > this.#buffer.length) this.#grow(end);
    const bytes = this.#buffer;
    putU32(bytes, at, MAGIC);
    bytes[at + 8] = kind;
    bytes[at + 9] = 0;
    bytes[at + 10] = code & 0xff;
    bytes[at + 11] = code >>> 8;
    putU32(bytes, at + 12, id);
    putU32(bytes, at + 16, word);
    putU32(bytes, at + 20, body.length);
    bytes.set(body, at + HEADER_BYTES);
    putU32(bytes, at + 4, crc32(bytes.subarray(at + 8, end)));
    this.#end = end;
  }

  /**
   * Hands over everything collected. Give the buffer back with `recycle` when nobody reads it any
   * more.
   */
  take(): Uint8Array {
    const taken = this.#buffer.subarray(0, this.#end);
    this.#buffer = this.#spare ?? EMPTY;
    this.#spare = undefined;
    this.#end = 0;
    return taken;
  }

  /** Returns the buffer behind a `take`. */
  recycle(taken: Uint8Array): void {
    if (taken.buffer.byteLength > SPARE_BYTES_MAX) return;
    this.#spare = new Uint8Array(taken.buffer as ArrayBuffer);
  }

  #grow(end: number): void {
    const grown = new Uint8Array(Math.max(end, this.#buffer.length * 2, this.#startBytes));
    grown.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = grown;
  }
}

function getU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>>
    0;
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = (value >>> 16) & 0xff;
  bytes[at + 3] = value >>> 24;
}
