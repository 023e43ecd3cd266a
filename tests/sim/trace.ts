// What happened, as a running hash and as the last few hundred lines for people. Lines are made only when
// somebody reads them; the hash takes numbers and texts as they come.

/** One thing that happened: where, what, and values that tell more. */
export interface TraceEntry {
  readonly time: number;
  readonly node: string;
  readonly what: string;
  readonly details: unknown;
}

/** Hash and tail of a run. */
export class Trace {
  #high = 0x811c9dc5;
  #low = 0x9e3779b9;
  readonly #ring: TraceEntry[] = [];
  readonly #size: number;
  #next = 0;
  /** Called with every entry as it happens (`--trace`). */
  onEntry: ((entry: TraceEntry) => void) | undefined;

  constructor(size = 2000) {
    this.#size = size;
  }

  /** Records an entry and mixes time, node, kind and the numbers into the hash. */
  add(time: number, node: string, what: string, details: unknown, a = 0, b = 0, c = 0): void {
    this.#number(time);
    this.#text(node);
    this.#text(what);
    this.#number(a);
    this.#number(b);
    this.#number(c);
    const entry = { time, node, what, details };
    this.#ring[this.#next] = entry;
    this.#next = (this.#next + 1) % this.#size;
    this.onEntry?.(entry);
  }

  /** Mixes something that happened into the hash only. */
  mix(time: number, what: string): void {
    this.#number(time);
    this.#text(what);
  }

  /** The hash so far. */
  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, "0") +
      (this.#low >>> 0).toString(16).padStart(8, "0");
  }

  /** The newest entries, oldest first. */
  tail(count: number): string[] {
    const all = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    return all.slice(-count).map(formatEntry);
  }

  #number(value: number): void {
    // A double holds 53 bits: its integer part, high and low, and a fraction in microseconds.
    const whole = Math.floor(value);
    this.#mix(whole | 0);
    this.#mix((whole / 0x1_0000_0000) | 0);
    this.#mix(((value - whole) * 1_000_000) | 0);
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
  }

  #mix(word: number): void {
    this.#high = Math.imul(this.#high ^ word, 0x01000193);
    this.#low = Math.imul((this.#low << 13 | this.#low >>> 19) ^ word, 0x85ebca6b);
  }
}

/** One line for people. */
export function formatEntry(entry: TraceEntry): string {
  const time = entry.time.toFixed(3).padStart(12);
  return `${time} ${entry.node.padEnd(6)} ${entry.what} ${formatDetails(entry.details)}`.trimEnd();
}

/** JSON with byte strings shortened. */
function formatDetails(details: unknown): string {
  if (details === undefined) return "";
  return JSON.stringify(details, (_key, value) => {
    if (value instanceof Uint8Array) return `<${value.length} bytes>`;
    if (value instanceof Map) return Object.fromEntries(value);
    if (typeof value === "bigint") return String(value);
    return value;
  });
}
