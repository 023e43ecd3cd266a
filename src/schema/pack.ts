// A small part of msgpack written by hand, for messages that travel with every operation (hot_codec.ts): positional
// arrays of numbers, byte strings, short texts, booleans and nil, straight between fields and bytes. What it writes is
// what the library writes, byte for byte; what it cannot read it leaves to the library, which knows the whole format
// and words the error. Encode / decode by hand against the library (tests/bench/codec_bench.ts, busy machine): prepare
// 0.47 / 0.57 us against 1.8 / 2.4, its answer 0.18 / 0.18 against 0.67 / 0.67, get 0.15 / 0.14 against 0.81 / 0.45,
// multi_put of 100 rows 10 / 19 us against 91 / 29.

import { EMPTY } from "../base/bytes.ts";

const START_BYTES = 4096;
/** A buffer that one message grew beyond this is given back. */
const KEPT_BYTES_MAX = 1024 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Writes one message after the other into the same buffer. */
export class Packer {
  #bytes = new Uint8Array(START_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  /** The last text and its bytes: most are the sender's name. */
  #text = "";
  #textBytes: Uint8Array = EMPTY;

  /** Starts a message. */
  begin(): void {
    this.#at = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#resize(START_BYTES);
  }

  /** The message, a view that holds until the next `begin`. */
  end(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Head of an array. */
  array(length: number): void {
    this.#reserve(5);
    if (length < 16) this.#bytes[this.#at++] = 0x90 | length;
    else if (length <= 0xffff) this.#put16(0xdc, length);
    else this.#put32(0xdd, length);
  }

  /** A safe integer, 0 or above. */
  uint(value: number): void {
    this.#reserve(9);
    if (value < 0x80) this.#bytes[this.#at++] = value;
    else if (value < 0x100) this.#put8(0xcc, value);
    else if (value < 0x10000) this.#put16(0xcd, value);
    else if (value < 0x1_0000_0000) this.#put32(0xce, value);
    else {
      this.#bytes[this.#at] = 0xcb;
      this.#view.setFloat64(this.#at + 1, value);
      this.#at += 9;
    }
  }

  bool(value: boolean): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value ? 0xc3 : 0xc2;
  }

  /** A byte string, or nil. */
  bin(value: Uint8Array | undefined): void {
    if (value === undefined) {
      this.#reserve(1);
      this.#bytes[this.#at++] = 0xc0;
      return;
    }
    const { length } = value;
    this.#reserve(5 + length);
    if (length < 0x100) this.#put8(0xc4, length);
    else if (length < 0x10000) this.#put16(0xc5, length);
    else this.#put32(0xc6, length);
    this.#bytes.set(value, this.#at);
    this.#at += length;
  }

  /** A text of 7-bit characters, at most 31 of them. */
  choice(value: string): void {
    this.#reserve(1 + value.length);
    this.#bytes[this.#at++] = 0xa0 | value.length;
    for (let i = 0; i < value.length; i++) this.#bytes[this.#at++] = value.charCodeAt(i);
  }

  text(value: string): void {
    if (value !== this.#text) {
      this.#text = value;
      this.#textBytes = encoder.encode(value);
    }
    const bytes = this.#textBytes;
    this.#reserve(5 + bytes.length);
    if (bytes.length < 32) this.#bytes[this.#at++] = 0xa0 | bytes.length;
    else if (bytes.length < 0x100) this.#put8(0xd9, bytes.length);
    else if (bytes.length < 0x10000) this.#put16(0xda, bytes.length);
    else this.#put32(0xdb, bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #put8(head: number, value: number): void {
    this.#bytes[this.#at++] = head;
    this.#bytes[this.#at++] = value;
  }

  #put16(head: number, value: number): void {
    this.#put8(head, value >>> 8);
    this.#bytes[this.#at++] = value;
  }

  #put32(head: number, value: number): void {
    this.#put8(head, value >>> 24);
    this.#put8(value >>> 16, value >>> 8);
    this.#bytes[this.#at++] = value;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, this.#bytes.length * 2));
  }

  #resize(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

/** Reads one message after the other. Every part that is not what was asked for makes `whole` false. */
export class Unpacker {
  #bytes: Uint8Array = EMPTY;
  #at = 0;
  #ok = true;
  /** The last text and its bytes: most are the sender's name. */
  #text = "";
  #textBytes: Uint8Array = EMPTY;

  /** Starts a message. Byte strings will be views of it. */
  begin(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#at = 0;
    this.#ok = true;
  }

  /** Whether everything was there as asked for, and nothing else. */
  get whole(): boolean {
    return this.#ok && this.#at === this.#bytes.length;
  }

  /** Length of an array; 0 if there is none. */
  array(): number {
    const head = this.#bytes[this.#at++];
    if (head === undefined) return this.#fail();
    if (head >= 0x90 && head <= 0x9f) return head & 0x0f;
    if (head === 0xdc) return this.#take16();
    return head === 0xdd ? this.#take32() : this.#fail();
  }

  /** An integer of at most 53 bits, 0 or above. */
  uint(max = Number.MAX_SAFE_INTEGER): number {
    const head = this.#bytes[this.#at++];
    if (head === undefined) return this.#fail();
    const value = head < 0x80 ? head : this.#number(head);
    return value >= 0 && value <= max && Number.isInteger(value) ? value : this.#fail();
  }

  bool(): boolean {
    const head = this.#bytes[this.#at++];
    if (head !== 0xc2 && head !== 0xc3) this.#fail();
    return head === 0xc3;
  }

  /** A byte string. */
  bin(): Uint8Array {
    const value = this.binOrNil();
    if (value === undefined) this.#fail();
    return value ?? EMPTY;
  }

  /** A byte string, or nil. */
  binOrNil(): Uint8Array | undefined {
    const head = this.#bytes[this.#at++];
    if (head === 0xc0) return undefined;
    return this.#cut(head === 0xc4 ? this.#take8() : head === 0xc5 ? this.#take16() : -1, head);
  }

  text(): string {
    const head = this.#bytes[this.#at++] ?? 0;
    const length = head >= 0xa0 && head <= 0xbf ? head & 0x1f : head === 0xd9 ? this.#take8() : -1;
    if (length < 0) {
      this.#fail();
      return "";
    }
    const bytes = this.#cut(length, head);
    if (!this.#isLast(bytes)) {
      this.#textBytes = new Uint8Array(bytes);
      this.#text = decoder.decode(bytes);
    }
    return this.#text;
  }

  /** One of some texts of different lengths, at most 31 7-bit characters each. */
  choice<const T extends string>(...values: readonly T[]): T | undefined {
    const length = (this.#bytes[this.#at++] ?? 0) - 0xa0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value.length !== length) continue;
      for (let k = 0; k < length; k++) {
        if (this.#bytes[this.#at++] !== value.charCodeAt(k)) this.#ok = false;
      }
      return value;
    }
    this.#ok = false;
    return undefined;
  }

  #isLast(bytes: Uint8Array): boolean {
    const last = this.#textBytes;
    if (bytes.length !== last.length) return false;
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== last[i]) return false;
    return true;
  }

  /** Length -1: a 32-bit length follows, if the head says so. */
  #cut(length: number, head: number | undefined): Uint8Array {
    const bytes = length >= 0 ? length : head === 0xc6 ? this.#take32() : this.#fail();
    const end = this.#at + bytes;
    if (end > this.#bytes.length) this.#fail();
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  #number(head: number): number {
    if (head === 0xcc) return this.#take8();
    if (head === 0xcd) return this.#take16();
    if (head === 0xce) return this.#take32();
    if (head !== 0xcb || this.#at + 8 > this.#bytes.length) return -1;
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, 8);
    this.#at += 8;
    return view.getFloat64(0);
  }

  #take8(): number {
    return this.#bytes[this.#at++] ?? this.#fail();
  }

  #take16(): number {
    return (this.#take8() << 8) | this.#take8();
  }

  #take32(): number {
    return this.#take16() * 0x10000 + this.#take16();
  }

  #fail(): 0 {
    this.#ok = false;
    return 0;
  }
}
