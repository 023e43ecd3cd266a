// What the RPC tests share: declared test calls, hand-driven time, a log that remembers, and a
// stranger with a bare socket who can send anything.

import assert from "node:assert/strict";
import type { RpcSettings } from "../../../src/rpc/contract.ts";
import { FrameKind, FrameParser, FrameWriter } from "../../../src/rpc/frame.ts";
import { encodeHello } from "../../../src/rpc/hello.ts";
import type { RpcIdentity, RpcOptions, RpcTimers } from "../../../src/rpc/options.ts";
import { bytes, u32 } from "../../../src/schema/field.ts";
import { defineMessage, defineRpc } from "../../../src/schema/rpc.ts";

export const Echo = defineRpc({
  code: 60_000,
  name: "test_echo",
  request: { body: bytes },
  response: { body: bytes },
});

/** Same code, another shape: what a broken client would send. */
export const EchoMisspelt = defineRpc({
  code: 60_000,
  name: "test_echo",
  request: { body: u32 },
  response: { body: bytes },
});

export const Unknown = defineRpc({ code: 60_001, name: "test_unknown", request: {}, response: {} });

export const Note = defineMessage({ code: 60_002, name: "test_note", body: { number: u32 } });

/** Time that moves only by hand. */
export class ManualTimers implements RpcTimers {
  #now = 1000;
  readonly #ticks = new Set<() => void>();

  now(): number {
    return this.#now;
  }

  every(_ms: number, tick: () => void): () => void {
    this.#ticks.add(tick);
    return () => this.#ticks.delete(tick);
  }

  /** Lets time pass, with a look at the clock every 100 ms. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 100) this.jump(Math.min(left, 100));
  }

  /** Lets time pass while the process stands still: one look at the clock, afterwards. */
  jump(ms: number): void {
    this.#now += ms;
    for (const tick of [...this.#ticks]) tick();
  }
}

/** A log that remembers reasons and messages. */
export class MemoryLog {
  readonly lines: string[] = [];

  readonly log: NonNullable<RpcOptions["log"]> = (level, message, details) => {
    this.lines.push(`${level} ${message} ${String(details?.["reason"] ?? "")}`);
  };

  has(part: string): boolean {
    return this.lines.some((line) => line.includes(part));
  }
}

export const SERVER: RpcIdentity = { cluster: "test", node: "server:1", role: "replica" };
export const CLIENT: RpcIdentity = { cluster: "test", node: "client:1", role: "client" };

/** Options of one end. */
export function optionsOf(
  identity: RpcIdentity,
  settings: Partial<RpcSettings> = {},
  timers?: RpcTimers,
  log?: MemoryLog,
): RpcOptions {
  return {
    identity,
    settings,
    ...(timers === undefined ? {} : { timers }),
    ...(log === undefined ? {} : { log: log.log }),
  };
}

/** Waits until a condition holds; fails after five seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < end, `Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** One frame as bytes. */
export function frameOf(
  kind: number,
  code = 0,
  id = 0,
  word = 0,
  body: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const writer = new FrameWriter();
  writer.add(kind, code, id, word, body);
  return writer.take().slice();
}

/** A frame that arrived, copied. */
export interface Received {
  kind: number;
  code: number;
  id: number;
  word: number;
  body: Uint8Array;
}

/** Somebody with a bare socket. */
export class Stranger {
  readonly #connection: Deno.Conn;
  readonly #parser = new FrameParser(1 << 28);
  isOver = false;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  static async dial(address: string): Promise<Stranger> {
    const [hostname, port] = address.split(":");
    return new Stranger(await Deno.connect({ hostname: hostname!, port: Number(port) }));
  }

  /** Sends our HELLO and waits for the answer. */
  async greet(identity: RpcIdentity = CLIENT): Promise<Received | undefined> {
    await this.write(frameOf(FrameKind.HELLO, 0, 0, 0, encodeHello(identity)));
    return await this.read();
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await this.#connection.write(bytes.subarray(at));
    }
  }

  /** The next frame; `undefined` when the other end has closed. */
  async read(): Promise<Received | undefined> {
    while (true) {
      const parsed = this.#parser.next();
      if (parsed === "frame") {
        const { kind, code, id, word } = this.#parser;
        return { kind, code, id, word, body: this.#parser.body.slice() };
      }
      assert.equal(parsed, "more", this.#parser.fault);
      const chunk = new Uint8Array(65536);
      const count = await this.#connection.read(chunk).catch(() => null);
      if (count === null) {
        this.isOver = true;
        return undefined;
      }
      this.#parser.push(chunk.subarray(0, count));
    }
  }

  /** Reads to the end. @returns The frames before it. */
  async readAll(): Promise<Received[]> {
    const frames: Received[] = [];
    for (let frame = await this.read(); frame !== undefined; frame = await this.read()) {
      frames.push(frame);
    }
    return frames;
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // Closed before.
    }
  }
}
