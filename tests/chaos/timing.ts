// How fast a chaos cluster notices that somebody cannot be heard, and what follows from it: lengths of faults and
// bounds of what they may cost. Page: docs/testing.md, "Chaos".

import { TEST_SETTINGS } from "../cluster/harness.ts";

/** Times of one cluster, ms. */
export interface Timing {
  readonly leaseMs: number;
  readonly graceMs: number;
  /** Deadline of a client's operation. */
  readonly clientMs: number;
  readonly settings: Readonly<Record<string, string | number | boolean>>;
}

/** The timings by name. */
export const TIMINGS: Readonly<Record<string, Timing>> = {
  fast: {
    leaseMs: 2000,
    graceMs: 2500,
    clientMs: 3000,
    settings: {
      ...TEST_SETTINGS,
      "rpc-keep-alive": "1s",
      "prepare-timeout": "1s",
      "group-check-interval": "2s",
    },
  },
  // What a cluster has that nobody has tuned.
  default: { leaseMs: 5000, graceMs: 6000, clientMs: 7000, settings: { shards: 1 } },
};

/** A server that cannot be heard is replaced after the grace; then come the takeover and the client's look. */
export function takeoverMs({ graceMs }: Timing): number {
  return graceMs + 2000;
}

/** A cut that is longer than the grace and a takeover. */
export function cutMs({ graceMs }: Timing): number {
  return graceMs + 2500;
}

/** A pause of meta that is longer than every lease. */
export function metaPauseMs({ leaseMs }: Timing): number {
  return 2 * leaseMs;
}

/** Stops: below the lease, between lease and grace, beyond the grace, beyond the grace and a takeover. */
export const PAUSES: Readonly<Record<string, (timing: Timing) => number>> = {
  "pause-short": ({ leaseMs }) => leaseMs / 2,
  "pause-lease": ({ leaseMs, graceMs }) => (leaseMs + graceMs) / 2,
  "pause-grace": ({ graceMs }) => graceMs + 1000,
  "pause-long": ({ graceMs }) => graceMs + 5500,
};
