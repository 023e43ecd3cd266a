// Failure domains: which replicas of a partition fail together. Pure. A host is where servers share a machine, a
// rack and a zone are what operators say. Invariant: a partition has more than one member on a host only if it has
// more members than the cluster has hosts; over zones, and over racks, members are spread as evenly as can be.
// Rules: docs/meta.md, "Failure domains".

import type { NodeId } from "../base/ids.ts";

/** Where a server is. "" = not said. */
export interface Place {
  readonly host: string;
  readonly zone: string;
  readonly rack: string;
}

/** The place a server says it is in; without a label its host is that of its address. */
export function placeOf(node: NodeId, labels: ReadonlyMap<string, string>): Place {
  const zone = labels.get("zone") ?? "";
  return {
    host: labels.get("host") ?? node.slice(0, node.lastIndexOf(":")),
    zone,
    // Racks of two zones may have the same name.
    rack: `${zone}/${labels.get("rack") ?? ""}`,
  };
}

/** The domains in the order of their weight. */
const LEVELS = ["host", "zone", "rack"] as const;

/** How much members share domains: per level the sum of squares of members per domain; less is better. */
export type Crowding = readonly [host: number, zone: number, rack: number];

/** Crowding of members in these places. */
export function crowdingOf(places: readonly Place[]): Crowding {
  const sums = [0, 0, 0] as [number, number, number];
  for (const [level, name] of LEVELS.entries()) {
    // Few members: pairs are cheaper than a map.
    for (const a of places) for (const b of places) if (a[name] === b[name]) sums[level]!++;
  }
  return sums;
}

/** Negative if `a` is better than `b`, 0 if they are equal. */
export function compareCrowding(a: Crowding, b: Crowding): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** The least crowding that `members` members can have in a cluster, level by level. */
export function leastCrowding(places: Iterable<Place>, members: number): Crowding {
  const all = [...places];
  const [host, zone, rack] = LEVELS.map((name) =>
    leastSquares(members, new Set(all.map((place) => place[name])).size)
  );
  return [host!, zone!, rack!];
}

function leastSquares(members: number, domains: number): number {
  if (domains === 0) return 0;
  const each = Math.floor(members / domains);
  const more = members % domains;
  return more * (each + 1) ** 2 + (domains - more) * each ** 2;
}

/** Most members of a partition that may be on one host. */
export function hostLimit(members: number, hosts: number): number {
  return hosts === 0 ? members : Math.ceil(members / hosts);
}
