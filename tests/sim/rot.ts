// Where bits flipped in a file of a stopped server, and what a restart must make of it: the judge's own reading of
// docs/log_format.md, "Reading", from the bytes before and after.

import type { Prng } from "../../src/base/prng.ts";
import {
  type BlockHead,
  checkBlock,
  decodeSegmentHead,
  findBlock,
  SegmentKind,
  viewOf,
} from "../../storage/log_format.ts";
import type { MemoryFiles } from "./memory_files.ts";

/**
 * "proven": something valid shows that what was damaged had been confirmed, so the replica is complete or condemned.
 * "tail": nothing does. Then it is complete, condemned, or knows that it may lack something (§12.6).
 */
export type RotPlace = "proven" | "tail";

/** What may be hit. */
export interface RotAim {
  /** One of the newest blocks of the shared log; every one of some of them; or anything in any log or manifest. */
  readonly place: "newest" | "end" | "anywhere";
  /** Also what nothing proves was ever there. */
  readonly tail: boolean;
}

type Block = BlockHead & { readonly at: number };

/** Blocks of a log that count as its newest ones. */
const NEWEST = 3;

/** Flips a few bits. @returns Where; undefined if there was nothing to hit. */
export function rotSomewhere(
  files: MemoryFiles,
  chance: Prng,
  { place: aim, tail }: RotAim,
): RotPlace | undefined {
  const candidates = files.paths().filter((path) => /\/log\.\d{10,}$|\/manifest$/.test(path));
  const shared = candidates.filter((path) => path.includes("/shared.")).sort().at(-1);
  const isAnywhere = aim === "anywhere";
  if (candidates.length === 0 || (!isAnywhere && shared === undefined)) return undefined;
  const path = isAnywhere ? chance.pick(candidates) : shared!;
  const before = files.readFile(path);
  const blocks = path.endsWith("/manifest") ? [] : blocksOf(before);
  const flip = (block?: Block) => {
    const part = block === undefined ? undefined : { from: block.at, to: block.end };
    files.flipBits(path, chance, 1 + chance.below(3), part);
  };
  const age = isAnywhere ? 0 : 1 + chance.below(NEWEST);
  if (aim === "end" && blocks.length > 0) { for (const block of blocks.slice(-age)) flip(block); }
  else flip(isAnywhere ? undefined : blocks.at(-age));
  if (path.endsWith("/manifest")) return "proven";
  const dir = path.slice(0, path.lastIndexOf("/"));
  const isLast =
    candidates.filter((other) => other.startsWith(`${dir}/log.`)).sort().at(-1) === path;
  const place = placeOf(before, files.readFile(path), blocks, isLast);
  if (place === "proven" || tail) return place;
  files.overwrite(path, before);
  return undefined;
}

function blocksOf(bytes: Uint8Array): Block[] {
  const view = viewOf(bytes);
  const blocks: Block[] = [];
  for (let at = findBlock(bytes, view, 0, undefined); at >= 0;) {
    const block = checkBlock(bytes, view, at, undefined)!;
    blocks.push({ ...block, at });
    at = findBlock(bytes, view, block.end, undefined);
  }
  return blocks;
}

function placeOf(
  before: Uint8Array,
  after: Uint8Array,
  blocks: readonly Block[],
  isLast: boolean,
): RotPlace {
  if (!isLast) return "proven";
  const view = viewOf(after);
  const valid = blocks.filter(({ at }) => checkBlock(after, view, at, undefined) !== undefined);
  const isProven = (offset: number): boolean => {
    const broken = blocks.find(({ at, end }) => offset >= at && offset < end);
    if (broken !== undefined) {
      return valid.some(({ at, synced }) => at > broken.at && synced > broken.position);
    }
    const first = valid[0];
    if (first === undefined || offset >= first.at) return false;
    // The head. In a shared log it is synced before the first block is written.
    const isShared = decodeSegmentHead(before, "")?.head.kind === SegmentKind.SHARED;
    return isShared || valid.some(({ synced }) => synced > first.position);
  };
  return after.every((byte, offset) => byte === before[offset] || isProven(offset))
    ? "proven"
    : "tail";
}
