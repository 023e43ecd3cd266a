// Bytes from the network: frames, messages, handshakes, and a whole connection.

import { concatBytes } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/crc.ts";
import type { Prng } from "../../src/base/prng.ts";
import { AccessBook } from "../../src/rpc/access_book.ts";
import { FrameKind, FrameParser, FrameWriter, HEADER_BYTES, MAGIC } from "../../src/rpc/frame.ts";
import { AcceptorHandshake, DialerHandshake } from "../../src/rpc/handshake.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import { rpcContext } from "../../src/rpc/options.ts";
import { challenge, makeVerifier, proof } from "../../src/rpc/scram.ts";
import { acceptSecurity, clientDialSecurity, OPEN } from "../../src/rpc/security.ts";
import { ServerConnection } from "../../src/rpc/server_connection.ts";
import type { Wire, WireEvents } from "../../src/rpc/tcp_transport.ts";
import { decode, encode } from "../../src/schema/codec.ts";
import { RPC_BY_CODE } from "../../src/schema/registry.ts";
import type { AnyRpc } from "../../src/schema/rpc.ts";
import { samples } from "./samples.ts";
import { type FuzzTarget, kindOf, must } from "./target.ts";

const FRAME_BYTES_MAX = 4096;
const IDENTITY = { cluster: "test", node: "", role: "replica" };

function frame(kind: number, code: number, id: number, word: number, body: Uint8Array): Uint8Array {
  const writer = new FrameWriter();
  writer.add(kind, code, id, word, body);
  return writer.take().slice();
}

/** Every frame that can still be found gets its magic, a length that fits, and its checksum. */
function sealFrames(input: Uint8Array): Uint8Array {
  const bytes = input.slice();
  const view = new DataView(bytes.buffer);
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    view.setUint32(at, MAGIC, true);
    const room = bytes.length - at - HEADER_BYTES;
    const length = Math.min(room, view.getUint32(at + 20, true));
    view.setUint32(at + 20, length, true);
    const end = at + HEADER_BYTES + length;
    view.setUint32(at + 4, crc32(bytes.subarray(at + 8, end)), true);
    at = end;
  }
  return bytes;
}

function cut(input: Uint8Array, rng: Prng): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < input.length;) {
    const size = 1 + rng.below(rng.chance(0.5) ? 8 : 2000);
    chunks.push(input.slice(at, at + size));
    at += size;
  }
  return chunks;
}

/** What a parser makes of chunks: frames as texts, and the fault. */
function parsed(chunks: readonly Uint8Array[]): string[] {
  const parser = new FrameParser(FRAME_BYTES_MAX);
  const seen: string[] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    let state = parser.next();
    while (state === "frame") {
      const { kind, code, id, word, body } = parser;
      seen.push(`${kind} ${code} ${id} ${word} ${crc32(body)}`);
      state = parser.next();
    }
    must(parser.heldBytes <= FRAME_BYTES_MAX, "a parser holds at most one frame");
    if (state === "broken") return [...seen, `broken: ${parser.fault}`];
  }
  return seen;
}

const frames: FuzzTarget = {
  name: "frame",
  about: "FrameParser: the same frames and the same fault, wherever the stream is cut",
  corpus() {
    const hello = frame(FrameKind.HELLO, 0, 0, 0, encodeHello(IDENTITY));
    const requests = samples().slice(0, 8)
      .map(({ rpc, body }, i) => frame(FrameKind.REQUEST, rpc.code, i, 1000, body));
    return [
      hello,
      ...requests,
      concatBytes([hello, ...requests, frame(FrameKind.PING, 0, 7, 0, hello)]),
    ];
  },
  seal: sealFrames,
  run(input, rng) {
    const whole = parsed([input]);
    const pieces = parsed(cut(input, rng));
    must(
      whole.join("\n") === pieces.join("\n"),
      `the cut changes the frames: ${whole} / ${pieces}`,
    );
    const last = whole.at(-1) ?? "";
    return `${Math.min(whole.length, 4)} ${last.replace(/\d+/g, "N")} ${last.split(" ")[0]}`;
  },
};

const RPCS: readonly AnyRpc[] = [...RPC_BY_CODE.values()];

const codec: FuzzTarget = {
  name: "codec",
  about: "decode of every message: refuses, or gives what encodes to the same again",
  corpus: () =>
    samples().map(({ rpc, body }) => concatBytes([Uint8Array.of(RPCS.indexOf(rpc)), body])),
  run(input, rng) {
    // The first byte chooses the message, so that what was found for one stays with it.
    const chosen = rng.chance(0.2) ? rng.below(RPCS.length) : (input[0] ?? 0) % RPCS.length;
    const rpc = RPCS[chosen]!;
    const field = rng.chance(0.8) ? rpc.request : rpc.response;
    let value: unknown;
    try {
      value = decode(field, input.subarray(1), rpc.name);
    } catch (error) {
      // Documented: any error. A connection answers INVALID_DATA.
      must(error instanceof Error, "a codec throws errors");
      return `${rpc.name} ${kindOf(error)}`;
    }
    const once = encode(field, value);
    const again = encode(field, decode(field, once, rpc.name));
    must(crc32(once) === crc32(again), `${rpc.name} changes on its way`);
    return `${rpc.name} ok ${Math.min(once.length, 1000) >> 5}`;
  },
};

const PASSWORD = "secret of the fuzzer";
const SALT = new Uint8Array(16);
const VERIFIER = makeVerifier(PASSWORD, SALT, 4096);
const security = { ...OPEN, auth: "required" as const, clusterSecret: "" };
const book = new AccessBook();
book.update({
  version: 1,
  users: [{ name: "ada", admin: true, verifier: VERIFIER, createdAt: 0 }],
});
const accepting = rpcContext({ identity: IDENTITY, accept: acceptSecurity(security, book) });
const dialing = rpcContext({
  identity: { ...IDENTITY, role: "client" },
  dial: clientDialSecurity({ user: "ada", password: PASSWORD }, undefined),
});

const handshake: FuzzTarget = {
  name: "handshake",
  about: "nobody gets in without a proof, and no server passes for one that knows the password",
  corpus() {
    const nonce = new Uint8Array(18).fill(7);
    const hello = encodeHello(IDENTITY, { user: "ada", nonce });
    const asked = encode(challenge, { nonce, salt: SALT, iterations: 4096 });
    const answered = encode(proof, { proof: new Uint8Array(32) });
    const signed = encodeHello(IDENTITY, { signature: new Uint8Array(32) });
    return [
      frame(FrameKind.HELLO, 0, 0, 0, hello),
      concatBytes([
        frame(FrameKind.HELLO, 0, 0, 0, hello),
        frame(FrameKind.AUTH, 0, 0, 0, answered),
      ]),
      concatBytes([frame(FrameKind.AUTH, 0, 0, 0, asked), frame(FrameKind.HELLO, 0, 0, 0, signed)]),
      frame(FrameKind.HELLO, 0, 0, 0, encodeHello(IDENTITY)),
    ];
  },
  seal: sealFrames,
  run(input, rng) {
    const end = rng.chance(0.5)
      ? new AcceptorHandshake(accepting, "")
      : new DialerHandshake(dialing);
    const parser = new FrameParser(FRAME_BYTES_MAX);
    parser.push(input);
    const seen: string[] = [];
    while (parser.next() === "frame") {
      const step = end.take(parser.kind, parser.body);
      must(step.isOpen !== true, "a handshake opens without a proof");
      seen.push(`${parser.kind}${step.send === undefined ? "" : " answered"}`);
      if (step.fault === undefined) continue;
      seen.push(kindOf(new Error(step.fault.reason)));
      break;
    }
    return `${end instanceof AcceptorHandshake} ${seen.join()}`;
  },
};

// A socket that takes everything and counts it.
class CountingWire implements Wire {
  readonly remote = "fuzz:1";
  readonly closed = Promise.resolve();
  bytes = 0;
  isOver = false;
  events!: WireEvents;

  open(events: WireEvents): void {
    this.events = events;
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.bytes += bytes.length;
    done();
  }

  pause(): void {}
  resume(): void {}

  end(): void {
    this.isOver = true;
  }

  destroy(): void {
    this.isOver = true;
  }
}

const open = rpcContext({ identity: IDENTITY, settings: { frameBytesMax: FRAME_BYTES_MAX } });
const routes = new Map(RPCS.map((rpc) => [
  rpc.code,
  // deno-lint-ignore no-explicit-any
  { rpc, handler: (_request: unknown, call: any) => call.fail(4, "busy") },
]));

const connection: FuzzTarget = {
  name: "connection",
  about: "an accepted connection answers each request at most once, or closes",
  corpus() {
    const hello = frame(FrameKind.HELLO, 0, 0, 0, encodeHello({ ...IDENTITY, role: "client" }));
    const requests = samples().map(({ rpc, body }, i) => {
      const kind = rpc.kind === "call" ? FrameKind.REQUEST : FrameKind.ONEWAY;
      return frame(kind, rpc.code, i, 1000, body);
    });
    const pings = [FrameKind.PING, FrameKind.PONG].map((kind) => frame(kind, 0, 3, 0, hello));
    return [
      concatBytes([hello, ...requests.slice(0, 6)]),
      ...requests.map((request) => concatBytes([hello, request, ...pings])),
      concatBytes([hello, frame(FrameKind.BYE, 0, 0, 0, new Uint8Array(0))]),
    ];
  },
  seal: sealFrames,
  run(input, rng) {
    const wire = new CountingWire();
    let ended = 0;
    const server = {
      routes,
      isClosing: false,
      turnNow: 0,
      endBatch: () => {},
      opened: () => {},
      forget: () => ended++,
    };
    const accepted = new ServerConnection(wire, server, open);
    for (const chunk of cut(input, rng)) {
      wire.events.onData(chunk);
      must(accepted.runningCount === 0, "everything was answered while it was dispatched");
      if (wire.isOver) break;
    }
    must(ended === (wire.isOver ? 1 : 0), "a connection ends once");
    // An answer is a header and a short text: input cannot be blown up.
    must(wire.bytes <= 300 + input.length * 8, `${input.length} bytes in, ${wire.bytes} out`);
    accepted.connection.close(0, "over");
    return `${wire.isOver} ${Math.min(64, wire.bytes >> 4)}`;
  },
};

/** See the file comment. */
export const WIRE_TARGETS: readonly FuzzTarget[] = [frames, codec, handshake, connection];
