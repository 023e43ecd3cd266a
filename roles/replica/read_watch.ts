// Reads that took long or returned much, for the log. Invariant: keys of users appear at debug level only, values
// never; at every level a line that repeats is held back, and the next one says how often.
// docs/data_api.md, "Slow and large reads".

import { formatPartition } from "../../src/base/ids.ts";
import { LineLimit } from "../../src/observe/line_limit.ts";
import type { Logger } from "../../src/observe/logger.ts";

/** What one read did. */
export interface ReadFacts {
  /** Name of the operation. */
  readonly rpc: string;
  readonly partition: number;
  readonly ms: number;
  readonly rows: number;
  /** Bytes of the keys and values returned. */
  readonly bytes: number;
  /** The raw key, or the hash key, asked for. */
  readonly key: Uint8Array | undefined;
}

/** From here on an answer is worth a line: bytes, and rows. */
export interface ReadSizeMarks {
  readonly bytes: number;
  readonly rows: number;
}

/** Lines of one kind in one window. */
const BURST = 5;
const WINDOW_MS = 10_000;
/** Bytes of a key shown at debug level. */
const KEY_BYTES_MAX = 128;

/** See the file comment. One per shard. */
export class ReadWatch {
  readonly #logger: Logger;
  readonly #limit = new LineLimit(BURST, WINDOW_MS);
  /** Reads that were slow or large since the start. */
  abnormal = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Looks at a finished read. @param nowMs Monotonic ms. */
  note(facts: ReadFacts, slowMs: number, marks: ReadSizeMarks, nowMs: number): void {
    const slow = facts.ms >= slowMs;
    if (!slow && facts.bytes < marks.bytes && facts.rows < marks.rows) return;
    this.abnormal++;
    const message = slow ? "Slow read" : "Large read";
    const held = this.#limit.admit(`${message} ${facts.rpc}`, nowMs);
    if (held < 0) return;
    const { rpc, key } = facts;
    const details = {
      rpc,
      partition: formatPartition(facts.partition),
      ms: Math.round(facts.ms),
      rows: facts.rows,
      bytes: facts.bytes,
      keyBytes: key?.length ?? 0,
      heldBack: held,
    };
    this.#logger.warn(message, details);
    if (key !== undefined) this.#logger.debug(`${message}: its key`, { rpc, key: escaped(key) });
  }
}

/** Printable ASCII as it is, everything else as \xNN; cut after {@link KEY_BYTES_MAX}. */
export function escaped(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes.subarray(0, KEY_BYTES_MAX)) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return bytes.length > KEY_BYTES_MAX ? `${text}... (${bytes.length} bytes)` : text;
}
