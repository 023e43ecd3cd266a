// How much room the disk of the data has: told to meta with each config sync, and looked at before a disk is full
// (disk_room.ts). A system that does not tell is no failure: then a write that is refused tells.

import { statfsSync, statSync } from "node:fs";

/** Room of a disk; `totalBytes` 0 = not known. */
export interface DiskSpace {
  readonly totalBytes: number;
  /** What this process may use: less than what is free for the system's administrator. */
  readonly freeBytes: number;
}

/** Nothing is known. */
const UNKNOWN_SPACE: DiskSpace = { totalBytes: 0, freeBytes: 0 };

/** Looks at the disk that holds `path`. Takes 3 us (measured on ext4). */
export function diskSpaceOf(path: string): DiskSpace {
  try {
    const { bsize, blocks, bavail } = statfsSync(path);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
  } catch {
    return UNKNOWN_SPACE;
  }
}

/** What all paths on one disk have in common; the path if that is not known. */
export function deviceOf(path: string): number | string {
  try {
    return statSync(path).dev;
  } catch {
    return path;
  }
}

/** Whether a disk has too little room for new replicas: less than the reserve, and less than a tenth. */
export function isLow({ totalBytes, freeBytes }: DiskSpace, reserveBytes: number): boolean {
  return totalBytes > 0 && freeBytes < Math.min(reserveBytes, totalBytes / 10);
}
