// How the messages of every get, set, range read and prepare are written and read by hand (pack.ts). They are declared
// with all others and mean the same bytes; tests/unit/schema/hot_codec_test.ts holds both ways against each other. A
// reader gives up on anything but the exact shape, and the general way then reads the message or words its error.

import type { Packer, Unpacker } from "./pack.ts";
import { RowBlock } from "./row_block.ts";

/** Both directions of one message. */
export interface HotCodec<T> {
  write(out: Packer, value: T): void;
  /** `undefined` if the message is not of exactly this shape. */
  read(from: Unpacker): T | undefined;
}

const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;

interface WriteHead {
  readonly partition: number;
  readonly session: number;
  readonly sequence: number;
  readonly answeredBelow: number;
}

function writeHeadOf(out: Packer, head: WriteHead): void {
  out.uint(head.partition);
  out.uint(head.session);
  out.uint(head.sequence);
  out.uint(head.answeredBelow);
}

type PutRequest = WriteHead & {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expireTs: number;
};

export const putRequest: HotCodec<PutRequest> = {
  write(out, value) {
    out.array(7);
    writeHeadOf(out, value);
    out.bin(value.key);
    out.bin(value.value);
    out.uint(value.expireTs);
  },
  read(from) {
    if (from.array() !== 7) return undefined;
    const partition = from.uint();
    const session = from.uint();
    const sequence = from.uint();
    const answeredBelow = from.uint();
    const key = from.bin();
    const value = from.bin();
    const expireTs = from.uint(U32_MAX);
    if (!from.whole) return undefined;
    return { partition, session, sequence, answeredBelow, key, value, expireTs };
  },
};

type MultiPutRequest = WriteHead & {
  readonly hashKey: Uint8Array;
  readonly rows: readonly { readonly sortKey: Uint8Array; readonly value: Uint8Array }[];
  readonly expireTs: number;
};

/** Rows above this are refused by the general way. */
const ROWS_MAX = 100_000;

export const multiPutRequest: HotCodec<
  MultiPutRequest & { rows: { readonly sortKey: Uint8Array; readonly value: Uint8Array }[] }
> = {
  write(out, value) {
    out.array(7);
    writeHeadOf(out, value);
    out.bin(value.hashKey);
    const { rows } = value;
    out.array(rows.length);
    for (let i = 0; i < rows.length; i++) {
      out.array(2);
      out.bin(rows[i]!.sortKey);
      out.bin(rows[i]!.value);
    }
    out.uint(value.expireTs);
  },
  read(from) {
    if (from.array() !== 7) return undefined;
    const partition = from.uint();
    const session = from.uint();
    const sequence = from.uint();
    const answeredBelow = from.uint();
    const hashKey = from.bin();
    const count = from.array();
    if (count > ROWS_MAX) return undefined;
    const rows = [];
    for (let i = 0; i < count; i++) {
      if (from.array() !== 2) return undefined;
      const sortKey = from.bin();
      rows.push({ sortKey, value: from.bin() });
    }
    const expireTs = from.uint(U32_MAX);
    if (!from.whole) return undefined;
    return { partition, session, sequence, answeredBelow, hashKey, rows, expireTs };
  },
};

export const writeResponse: HotCodec<
  { readonly decree: number; readonly result: Uint8Array | undefined }
> = {
  write(out, value) {
    out.array(2);
    out.uint(value.decree);
    out.bin(value.result);
  },
  read(from) {
    if (from.array() !== 2) return undefined;
    const decree = from.uint();
    const result = from.binOrNil();
    return from.whole ? { decree, result } : undefined;
  },
};

export const getRequest: HotCodec<
  {
    readonly partition: number;
    readonly stale: boolean;
    readonly key: Uint8Array;
    readonly stalenessMaxMs: number;
  }
> = {
  write(out, value) {
    out.array(4);
    out.uint(value.partition);
    out.bool(value.stale);
    out.bin(value.key);
    out.uint(value.stalenessMaxMs);
  },
  read(from) {
    if (from.array() !== 4) return undefined;
    const partition = from.uint();
    const stale = from.bool();
    const key = from.bin();
    const stalenessMaxMs = from.uint();
    return from.whole ? { partition, stale, key, stalenessMaxMs } : undefined;
  },
};

export const getResponse: HotCodec<{ readonly value: Uint8Array | undefined }> = {
  write(out, { value }) {
    out.array(1);
    out.bin(value);
  },
  read(from) {
    if (from.array() !== 1) return undefined;
    const value = from.binOrNil();
    return from.whole ? { value } : undefined;
  },
};

/** @returns `undefined` if the bytes are no rows: the general way says what is wrong with them. */
function rowsOf(bytes: Uint8Array): RowBlock | undefined {
  try {
    return RowBlock.received(bytes, "rows");
  } catch {
    return undefined;
  }
}

export const rowsResponse: HotCodec<{ readonly rows: RowBlock; readonly complete: boolean }> = {
  write(out, { rows, complete }) {
    out.array(2);
    out.bin(rows.bytes());
    out.bool(complete);
  },
  read(from) {
    if (from.array() !== 2) return undefined;
    const bytes = from.bin();
    const complete = from.bool();
    const rows = from.whole ? rowsOf(bytes) : undefined;
    return rows === undefined ? undefined : { rows, complete };
  },
};

export const scanResponse: HotCodec<
  { readonly context: number; readonly rows: RowBlock; readonly count: number }
> = {
  write(out, { context, rows, count }) {
    out.array(3);
    out.uint(context);
    out.bin(rows.bytes());
    out.uint(count);
  },
  read(from) {
    if (from.array() !== 3) return undefined;
    const context = from.uint();
    const bytes = from.bin();
    const count = from.uint(U32_MAX);
    const rows = from.whole ? rowsOf(bytes) : undefined;
    return rows === undefined ? undefined : { context, rows, count };
  },
};

interface PeerHead {
  readonly partition: number;
  readonly from: string;
  readonly incarnation: number;
  readonly ballot: number;
}

function peerHeadOf(out: Packer, head: PeerHead): void {
  out.uint(head.partition);
  out.text(head.from);
  out.uint(head.incarnation);
  out.uint(head.ballot);
}

type PrepareBody = PeerHead & {
  readonly role: "secondary" | "learner";
  readonly signature: number;
  readonly reconcileEnd: number;
  readonly mutation: Uint8Array;
  readonly committed: number;
};

export const prepare: HotCodec<PrepareBody> = {
  write(out, value) {
    out.array(9);
    peerHeadOf(out, value);
    // The sender's name stays the last long text: see Packer.text.
    out.choice(value.role);
    out.uint(value.signature);
    out.uint(value.reconcileEnd);
    out.bin(value.mutation);
    out.uint(value.committed);
  },
  read(from) {
    if (from.array() !== 9) return undefined;
    const partition = from.uint();
    const sender = from.text();
    const incarnation = from.uint();
    const ballot = from.uint();
    const role = from.choice("secondary", "learner");
    const signature = from.uint();
    const reconcileEnd = from.uint();
    const mutation = from.bin();
    const committed = from.uint();
    if (!from.whole || role === undefined) return undefined;
    const head = { partition, from: sender, incarnation, ballot };
    return { ...head, role, signature, reconcileEnd, mutation, committed };
  },
};

type PrepareAckBody = PeerHead & {
  readonly signature: number;
  readonly decree: number;
  readonly error: number;
  readonly lastPrepared: number;
  readonly committed: number;
};

export const prepareAck: HotCodec<PrepareAckBody> = {
  write(out, value) {
    out.array(9);
    peerHeadOf(out, value);
    out.uint(value.signature);
    out.uint(value.decree);
    out.uint(value.error);
    out.uint(value.lastPrepared);
    out.uint(value.committed);
  },
  read(from) {
    if (from.array() !== 9) return undefined;
    const partition = from.uint();
    const sender = from.text();
    const incarnation = from.uint();
    const ballot = from.uint();
    const signature = from.uint();
    const decree = from.uint();
    const error = from.uint(U16_MAX);
    const lastPrepared = from.uint();
    const committed = from.uint();
    if (!from.whole) return undefined;
    const head = { partition, from: sender, incarnation, ballot };
    return { ...head, signature, decree, error, lastPrepared, committed };
  },
};
