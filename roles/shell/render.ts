// How results look: aligned tables for people, JSON for programs, progress for the impatient.
// The only importer of the table library, which aligns wide characters.

import Table from "cli-table3";

/** Anything JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [k: string]: Json;
};

const BLANK = {
  "top": "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  "bottom": "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  "left": "",
  "left-mid": "",
  "mid": "",
  "mid-mid": "",
  "right": "",
  "right-mid": "",
  "middle": "  ",
} as const;

/** Words of states, and how they look to somebody who glances. */
const COLOURS: Readonly<Record<string, string>> = {
  ALIVE: "32",
  OK: "32",
  healthy: "32",
  DRAINING: "33",
  degraded: "33",
  UNALIVE: "31",
  unwritable: "31",
  unreadable: "31",
  dead: "31",
};

/** Rows as objects with the names of the head. */
export function rowObjects(head: readonly string[], rows: readonly (readonly Json[])[]): Json {
  return rows.map((row) => Object.fromEntries(head.map((name, i) => [name, row[i]!])));
}

/** Rows under a head, in columns; numbers to the right. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly Json[])[],
  useColour = false,
): string {
  const colAligns = head.map((_, column) =>
    rows.length > 0 && rows.every((row) => isNumeric(row[column])) ? "right" : "left"
  );
  const cellOf = (cell: Json) => {
    const text = cell === null ? "-" : String(cell);
    const colour = useColour ? COLOURS[text] : undefined;
    return colour === undefined ? text : `\x1b[${colour}m${text}\x1b[39m`;
  };
  const table = new Table({
    head: head.map((name) => useColour ? `\x1b[1m${name}\x1b[22m` : name),
    chars: BLANK,
    colAligns: colAligns as ("left" | "right")[],
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  for (const row of rows) table.push(row.map(cellOf));
  return table.toString().split("\n").map((line: string) => line.trimEnd()).join("\n");
}

function isNumeric(cell: Json | undefined): boolean {
  return typeof cell === "number" || cell === null;
}

/** Name and value, one per line. */
export function renderPairs(pairs: readonly (readonly [string, Json])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)} : ${plain(value)}`).join("\n");
}

function plain(value: Json): string {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

/** Bytes as JSON: text if they are UTF-8, else {"base64": ...}. The same form as import and export use. */
export function jsonBytes(bytes: Uint8Array): Json {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: toBase64(bytes) };
  }
}

/** Standard base64. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Bytes of base64 text; `undefined` if it is not. */
export function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** A number and what it counts: "1 row", "2 rows". */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Seconds for people: "42 s", "3 min 5 s", "2 h 7 min". */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Unix seconds as text, UTC; "-" for 0. */
export function formatTime(unixSeconds: number): string {
  if (unixSeconds === 0) return "-";
  return new Date(unixSeconds * 1000).toISOString().replace(".000", "").replace("T", " ");
}

/** Bytes for people: "1.5 GiB". */
export function formatBytes(bytes: number): string {
  if (bytes < 0) return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let amount = bytes;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}

const BAR_WIDTH = 24;
const REDRAW_MS = 200;

/** A line that shows how far a long command is: share, rows, rate, remaining time. Silent without a terminal. */
export class Progress {
  readonly #write: (text: string) => void;
  readonly #total: number;
  readonly #now: () => number;
  readonly #startedAt: number;
  #drawnAt = -Infinity;
  #isDrawn = false;

  /**
   * @param write Where to draw; `undefined` draws nothing.
   * @param total What `done` will reach, in any unit; 0 = unknown.
   */
  constructor(write: ((text: string) => void) | undefined, total: number, now: () => number) {
    this.#write = write ?? (() => {});
    this.#total = write === undefined ? -1 : total;
    this.#now = now;
    this.#startedAt = now();
  }

  /** Redraws at most every 200 ms. `noun`: what is counted. */
  update(done: number, rows: number, noun = "rows"): void {
    const now = this.#now();
    if (this.#total < 0 || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#isDrawn = true;
    this.#write(
      `\r\x1b[K${progressLine(done, this.#total, rows, (now - this.#startedAt) / 1000, noun)}`,
    );
  }

  /** Removes the line. */
  clear(): void {
    if (this.#isDrawn) this.#write("\r\x1b[K");
    this.#isDrawn = false;
  }
}

/** The text of a progress line after `seconds`. */
export function progressLine(
  done: number,
  total: number,
  rows: number,
  seconds: number,
  noun = "rows",
): string {
  const rate = seconds > 0 ? Math.round(rows / seconds) : 0;
  const counts = `${rows} ${noun}, ${rate} ${noun}/s`;
  if (total === 0) return counts;
  const share = Math.min(1, done / total);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = "=".repeat(filled) + " ".repeat(BAR_WIDTH - filled);
  const left = share > 0 ? `, ${formatSeconds(seconds / share - seconds)} left` : "";
  return `[${bar}] ${String(Math.floor(share * 100)).padStart(3)}%  ${counts}${left}`;
}
