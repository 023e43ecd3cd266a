// The state of meta as a file: for a copy before maintenance, and to move it from one store to another. JSON
// that people can read, with a checksum over everything in it. See docs/meta.md, "Export and import".

import { crc32 } from "../../src/base/crc.ts";
import { fromHex, fromUtf8, toHex, utf8 } from "../../src/base/bytes.ts";

const FORMAT = "pegasus meta state";
const VERSION = 1;

/** One node of the tree. */
export interface StateNode {
  readonly path: string;
  readonly value: Uint8Array;
}

/** What a file holds. */
export interface StateFile {
  readonly cluster: string;
  /** When it was made, as people write it. */
  readonly exportedAt: string;
  /** Parents before their children. */
  readonly nodes: readonly StateNode[];
}

/** A node's value as it stands in the file: JSON as such, anything else in hex. */
interface PlainNode {
  readonly path: string;
  readonly json?: unknown;
  readonly hex?: string;
}

/** Text of the file. */
export function encodeState({ cluster, exportedAt, nodes }: StateFile): string {
  const plain = nodes.toSorted((a, b) => a.path < b.path ? -1 : 1).map(plainOf);
  const body = JSON.stringify({ cluster, exportedAt, nodes: plain });
  const head = { format: FORMAT, version: VERSION, crc32: checksum(body) };
  // One node per line: made to be read, searched and compared.
  const lines = plain.map((node) => `    ${JSON.stringify(node)}`).join(",\n");
  const rest = JSON.stringify({ ...head, cluster, exportedAt }).slice(0, -1);
  return `${rest},"nodes":[\n${lines}\n]}\n`;
}

/** @throws {Error} If the text is no such file, or was changed. */
export function decodeState(text: string): StateFile {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (cause) {
    throw new Error("It is not JSON, or ends too early", { cause });
  }
  const { format, version, crc32, cluster, exportedAt, nodes } = (file ?? {}) as Record<
    string,
    unknown
  >;
  if (format !== FORMAT) throw new Error(`It is no "${FORMAT}"`);
  if (version !== VERSION) {
    throw new Error(`It has version ${version}, this program knows ${VERSION}`);
  }
  if (crc32 !== checksum(JSON.stringify({ cluster, exportedAt, nodes }))) {
    throw new Error("Its checksum is wrong: it was changed, or is not whole");
  }
  const read = (nodes as PlainNode[]).map(({ path, json, hex }) => ({
    path,
    value: hex === undefined ? utf8(JSON.stringify(json)) : fromHex(hex)!,
  }));
  return { cluster: String(cluster), exportedAt: String(exportedAt), nodes: read };
}

function plainOf({ path, value }: StateNode): PlainNode {
  try {
    const text = fromUtf8(value);
    const json: unknown = JSON.parse(text);
    // Only what comes back byte for byte.
    if (JSON.stringify(json) === text) return { path, json };
  } catch {
    // Not JSON.
  }
  return { path, hex: toHex(value) };
}

function checksum(body: string): string {
  return crc32(utf8(body)).toString(16).padStart(8, "0");
}
