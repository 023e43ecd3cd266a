// What a server tells about its data directories: to meta with each config sync, to operators and metrics.

import type { DiskInfo, ReplicaReport } from "../../src/schema/types.ts";
import type { BadDir, DataDir } from "../../storage/data_dir.ts";
import { deviceOf, type DiskSpace, diskSpaceOf, isLow } from "./disk_space.ts";

/** What is known of the directories of a server. */
export interface DiskSources {
  readonly good: readonly DataDir[];
  readonly bad: readonly BadDir[];
  /** See `isLow`. */
  readonly reserveBytes: number;
  /** Looks at the disk of a path. @default The disk of this machine */
  readonly space?: (path: string) => DiskSpace;
}

/** One row per configured directory, good ones first. */
export function describeDisks(
  { good, bad, reserveBytes, space = diskSpaceOf }: DiskSources,
  reports: readonly ReplicaReport[],
): DiskInfo[] {
  const rows = good.map(({ tag, path }): DiskInfo => {
    const own = reports.filter(({ disk }) => disk === tag);
    const primaries = own.filter(({ status }) => status === "primary").length;
    const { totalBytes, freeBytes } = space(path);
    const state = isLow({ totalBytes, freeBytes }, reserveBytes) ? "low" : "good";
    const replicas = own.length;
    return { tag, path, state, totalBytes, freeBytes, replicas, primaries, reason: "" };
  });
  const nothing = { totalBytes: 0, freeBytes: 0, replicas: 0, primaries: 0 };
  return [...rows, ...bad.map((dir): DiskInfo => ({ ...dir, ...nothing, state: "bad" }))];
}

/** Room of all disks together; several directories on one disk count once. */
export function totalSpace(
  disks: readonly DiskInfo[],
  device: (path: string) => number | string = deviceOf,
): DiskSpace {
  const byDevice = new Map<number | string, DiskInfo>();
  for (const disk of disks) if (disk.state !== "bad") byDevice.set(device(disk.path), disk);
  let totalBytes = 0;
  let freeBytes = 0;
  for (const disk of byDevice.values()) {
    totalBytes += disk.totalBytes;
    freeBytes += disk.freeBytes;
  }
  return { totalBytes, freeBytes };
}
