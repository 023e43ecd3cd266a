// Everything a hostile client does, in a thread of its own: until it is told to stop it floods a server with
// connections, stalls in handshakes and frames, sends garbage, oversize frames, deep nesting, equal request
// ids, absurd deadlines, and asks without ever reading. Used by hostile_test.ts.

import { FrameKind, FrameWriter } from "../../src/rpc/frame.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import { GetScanner, Put } from "../../src/schema/client_rpc.ts";
import { encode } from "../../src/schema/codec.ts";
import { encodeKey } from "../../src/schema/key_format.ts";

/** What an attacker is told. */
export interface AttackOrder {
  readonly address: string;
  /** A partition the server serves. */
  readonly partition: number;
}

/** Kinds of attack. */
const ATTACKS = 9;

/** How often each attack was carried out. */
export type AttackReport = Readonly<Record<string, number>>;

const scope = globalThis as unknown as {
  postMessage(report: AttackReport | "everything"): void;
  onmessage: (event: MessageEvent<AttackOrder | "stop">) => void;
};

const counts: Record<string, number> = {};
let isOver = false;
const NOTHING = new Uint8Array(0);

function frame(kind: number, code: number, id: number, word: number, body: Uint8Array): Uint8Array {
  const writer = new FrameWriter();
  writer.add(kind, code, id, word, body);
  return writer.take().slice();
}

const hello = frame(
  FrameKind.HELLO,
  0,
  0,
  0,
  encodeHello({ cluster: "", node: "", role: "client" }),
);

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function send(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length && !isOver;) at += await connection.write(bytes.subarray(at));
}

/** One connection for one attack; whatever the server does to it is fine. */
async function attack(
  address: string,
  name: string,
  act: (connection: Deno.Conn) => Promise<void>,
): Promise<void> {
  const [hostname, port] = address.split(":");
  const connection = await Deno.connect({ hostname: hostname!, port: Number(port) }).catch(
    () => {},
  );
  if (connection === undefined) return;
  if (counts[name] === undefined && Object.keys(counts).length === ATTACKS - 1) {
    scope.postMessage("everything");
  }
  counts[name] = (counts[name] ?? 0) + 1;
  try {
    await act(connection);
  } catch {
    // Cut off.
  } finally {
    try {
      connection.close();
    } catch {
      // Closed before.
    }
  }
}

async function untilOver(connection: Deno.Conn): Promise<void> {
  const chunk = new Uint8Array(65536);
  while (!isOver && await connection.read(chunk) !== null);
}

type Act = (c: Deno.Conn) => Promise<void>;

/** By name: what is done on one connection after the other, so many side by side. */
type Attacks = Record<string, [number, Act]>;

function greeted(act: Act): Act {
  return async (c) => {
    await send(c, hello);
    await act(c);
  };
}

function putOf(partition: number): Uint8Array {
  const key = encodeKey(new TextEncoder().encode("x"), NOTHING);
  const head = { partition, session: 0, sequence: 0, answeredBelow: 0 };
  return encode(Put.request, { ...head, key, value: NOTHING, expireTs: 0 });
}

function attacksOnConnections(partition: number): Attacks {
  const put = putOf(partition);
  return {
    "silent connection": [400, async (c) => await untilOver(c)],
    "slow handshake": [20, async (c) => {
      for (const byte of hello) {
        await send(c, Uint8Array.of(byte));
        await pause(100);
      }
    }],
    "slow frame": [
      10,
      greeted(async (c) => {
        for (const byte of frame(FrameKind.REQUEST, Put.code, 1, 1000, put)) {
          await send(c, Uint8Array.of(byte));
          await pause(200);
        }
      }),
    ],
    "noise": [2, async (c) => await send(c, crypto.getRandomValues(new Uint8Array(60_000)))],
    "oversize frame": [
      2,
      greeted(async (c) => {
        const bytes = frame(FrameKind.REQUEST, Put.code, 1, 1000, NOTHING);
        new DataView(bytes.buffer).setUint32(20, 0xffffffff, true);
        await send(c, bytes);
        await untilOver(c);
      }),
    ],
  };
}

function attacksByRequests(partition: number): Attacks {
  const put = putOf(partition);
  const any = { type: "none" as const, pattern: NOTHING };
  const scan = encode(GetScanner.request, {
    ...{ partition, stale: true, startKey: NOTHING, startInclusive: true, stopKey: NOTHING },
    ...{
      stopInclusive: false,
      batchSize: 0,
      noValue: false,
      hashKeyFilter: any,
      sortKeyFilter: any,
    },
    ...{ countOnly: false, returnExpireTs: false, stalenessMaxMs: 0 },
  });
  const requests = (word: number, id: (i: number) => number, count: number) =>
    Array.from({ length: count }, (_, i) => frame(FrameKind.REQUEST, Put.code, id(i), word, put));
  return {
    "deep nesting": [
      2,
      greeted(async (c) => {
        const deep = new Uint8Array(60_000).fill(0x91);
        for (let i = 0; i < 20; i++) {
          await send(c, frame(FrameKind.REQUEST, Put.code, i, 1000, deep));
        }
        await pause(20);
      }),
    ],
    "equal ids": [
      1,
      greeted(async (c) => {
        for (const one of requests(1000, () => 7, 50)) await send(c, one);
        await pause(200);
      }),
    ],
    "absurd deadlines": [
      1,
      greeted(async (c) => {
        for (const word of [0, 1, 0xffffffff]) {
          for (const one of requests(word, (i) => i, 20)) await send(c, one);
        }
        await pause(20);
      }),
    ],
    "never reads": [
      2,
      greeted(async (c) => {
        for (let i = 0; i < 2000; i++) {
          await send(c, frame(FrameKind.REQUEST, GetScanner.code, i, 60_000, scan));
        }
        await pause(1000);
      }),
    ],
  };
}

scope.onmessage = ({ data }) => {
  if (data === "stop") {
    isOver = true;
    scope.postMessage(counts);
    return;
  }
  const { address, partition } = data;
  const all = { ...attacksOnConnections(partition), ...attacksByRequests(partition) };
  for (const [name, [beside, act]] of Object.entries(all)) {
    for (let i = 0; i < beside; i++) {
      (async () => {
        while (!isOver) {
          await attack(address, name, act);
          await pause(5);
        }
      })();
    }
  }
};
