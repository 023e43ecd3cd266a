// Speaks RESP, the protocol of Redis, as fast as this runtime can: commands of one turn of the event loop leave in
// one socket write and answers are matched by their order, the way the store's own client works. Our own, because a
// library would be measured instead of the server: with one, commands cost more here than in Redis.

import { once } from "node:events";
import net from "node:net";

/** An answer: text of a status, a number, bytes, nothing, or a list of these. */
export type Reply = string | number | Uint8Array | null | Reply[];

/** One word of a command. */
export type Word = string | Uint8Array;

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const CR = 13;
/** Rounds of microtasks a flush waits for more commands, as in src/rpc/connection.ts. */
const FLUSH_ROUNDS_MAX = 4;

/** One connection. */
export class RespClient {
  readonly #socket: net.Socket;
  readonly #parser = new ReplyParser();
  /** Commands without an answer, in order; a ring would leave less behind, but answers come in at once. */
  #waiting: Waiting[] = [];
  #answered = 0;
  #out = new Uint8Array(4096);
  #end = 0;
  #flushPending = false;
  #seen = 0;
  #rounds = 0;
  /** Why there are no more answers. */
  #failure: Error | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    socket.on("close", () => this.#fail(new Error("Redis closed the connection")));
    socket.on("error", (error: Error) => this.#fail(error));
  }

  /** @throws {Error} If nobody listens there. */
  static async connect(address: string): Promise<RespClient> {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon);
    const socket = net.connect({ host, port: Number(address.slice(colon + 1)), noDelay: true });
    await once(socket, "connect");
    return new RespClient(socket);
  }

  /** @throws {Error} What Redis says is wrong. */
  command(...words: readonly Word[]): Promise<Reply> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#add(words);
    if (!this.#flushPending) {
      this.#flushPending = true;
      this.#rounds = this.#seen = 0;
      queueMicrotask(this.#flushSoon);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.#socket.destroy();
  }

  readonly #flushSoon = (): void => {
    if (this.#end !== this.#seen && this.#rounds++ < FLUSH_ROUNDS_MAX) {
      this.#seen = this.#end;
      queueMicrotask(this.#flushSoon);
      return;
    }
    this.#flushPending = false;
    this.#socket.write(this.#out.slice(0, this.#end));
    this.#end = 0;
  };

  #add(words: readonly Word[]): void {
    this.#text(`*${words.length}\r\n`);
    for (const word of words) {
      // Keys and numbers are ASCII: their length in bytes is their length.
      this.#text(`$${word.length}\r\n`);
      if (typeof word === "string") this.#text(word);
      else {
        this.#reserve(word.length);
        this.#out.set(word, this.#end);
        this.#end += word.length;
      }
      this.#text("\r\n");
    }
  }

  #text(text: string): void {
    this.#reserve(text.length * 3);
    this.#end += encoder.encodeInto(text, this.#out.subarray(this.#end)).written;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#out.length) return;
    const grown = new Uint8Array(Math.max(this.#out.length * 2, this.#end + bytes));
    grown.set(this.#out.subarray(0, this.#end));
    this.#out = grown;
  }

  #onData(chunk: Uint8Array): void {
    this.#parser.push(chunk);
    for (let reply = this.#parser.next(); reply !== undefined; reply = this.#parser.next()) {
      const waiting = this.#waiting[this.#answered++];
      if (reply instanceof Error) waiting?.reject(reply);
      else waiting?.resolve(reply);
    }
    if (this.#answered === this.#waiting.length) this.#waiting = [];
    else this.#waiting = this.#waiting.slice(this.#answered);
    this.#answered = 0;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(this.#failure);
  }
}

/** Cuts a stream into replies. */
export class ReplyParser {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  push(chunk: Uint8Array): void {
    if (this.#at === this.#bytes.length) this.#bytes = chunk;
    else {
      const rest = this.#bytes.subarray(this.#at);
      const joined = new Uint8Array(rest.length + chunk.length);
      joined.set(rest);
      joined.set(chunk, rest.length);
      this.#bytes = joined;
    }
    this.#at = 0;
  }

  /** The next whole reply; an error of the server as a value; `undefined` if more bytes are needed. */
  next(): Reply | Error | undefined {
    const start = this.#at;
    const reply = this.#read();
    if (reply === undefined) this.#at = start;
    return reply;
  }

  #read(): Reply | Error | undefined {
    const end = this.#bytes.indexOf(CR, this.#at);
    if (end < 0 || end + 2 > this.#bytes.length) return undefined;
    const kind = String.fromCharCode(this.#bytes[this.#at]!);
    const line = decoder.decode(this.#bytes.subarray(this.#at + 1, end));
    this.#at = end + 2;
    switch (kind) {
      case "+":
        return line;
      case "-":
        return new Error(`Redis: ${line}`);
      case ":":
        return Number(line);
      case "$":
        return this.#readBulk(Number(line));
      case "*":
        return this.#readList(Number(line));
      default:
        throw new Error(`Not an answer of Redis: it begins with "${kind}"`);
    }
  }

  #readBulk(length: number): Uint8Array | null | undefined {
    if (length < 0) return null;
    const end = this.#at + length;
    if (end + 2 > this.#bytes.length) return undefined;
    const value = new Uint8Array(this.#bytes.subarray(this.#at, end));
    this.#at = end + 2;
    return value;
  }

  #readList(length: number): Reply[] | null | Error | undefined {
    if (length < 0) return null;
    const items: Reply[] = [];
    for (let i = 0; i < length; i++) {
      const item = this.#read();
      if (item === undefined || item instanceof Error) return item;
      items.push(item);
    }
    return items;
  }
}
