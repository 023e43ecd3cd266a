// Makes a failing run smaller: without kinds of faults, with fewer clients, partitions and messages lost, as long as
// the same rule breaks. Streams of chance are independent of each other, so what stays mostly stays the same.

import type { FaultRates, Swarm } from "./swarm.ts";

/** How a run is made smaller than what its seed draws; printed as flags of the task. */
export interface Bend {
  /** Kinds of faults (swarm.ts) that are switched off; "network" stands for lost and repeated messages. */
  readonly without: readonly string[];
  /** Clients at most; 0: as drawn. */
  readonly clients: number;
  /** Events before faults end, at most; 0: as drawn. */
  readonly events: number;
}

export const UNBENT: Bend = { without: [], clients: 0, events: 0 };

/** Everything that `without` can name. */
export function bendable(swarm: Swarm): string[] {
  return [...Object.keys(swarm.faults), "network"];
}

/** Applies a bend to what a seed drew. */
export function bend(swarm: Swarm, { without, clients, events }: Bend): Swarm {
  const faults = Object.fromEntries(
    Object.entries(swarm.faults).map(([kind, ms]) => [kind, without.includes(kind) ? 0 : ms]),
  ) as unknown as FaultRates;
  const { network, load } = swarm;
  const calm = { ...network, drop: 0, duplicate: 0, reset: 0 };
  return {
    ...swarm,
    faults,
    network: without.includes("network") ? calm : network,
    eventsMax: events === 0 ? swarm.eventsMax : Math.min(events, swarm.eventsMax),
    load: clients === 0 ? load : { ...load, clients: Math.min(clients, load.clients) },
  };
}

/** The bend as flags. */
export function bendFlags({ without, clients, events }: Bend): string {
  const flags = [
    ...(without.length === 0 ? [] : [`--without ${without.join(",")}`]),
    ...(clients === 0 ? [] : [`--clients ${clients}`]),
    ...(events === 0 ? [] : [`--events ${events}`]),
  ];
  return flags.map((flag) => ` ${flag}`).join("");
}

/** What a tried bend gave: the events until the same rule broke; undefined: it did not. */
export type Try = (bend: Bend) => Promise<number | undefined>;

/**
 * The smallest bend found that still fails.
 *
 * @param swarm What the seed drew. @param isOver Whether to stop looking.
 */
export async function shrink(
  swarm: Swarm,
  from: Bend,
  attempt: Try,
  isOver: () => boolean,
): Promise<Bend> {
  let best = from;
  const keep = async (next: Bend): Promise<boolean> => {
    if (isOver() || await attempt(next) === undefined) return false;
    best = next;
    return true;
  };
  for (const kind of bendable(swarm)) {
    const isOff = kind !== "network" && swarm.faults[kind as keyof FaultRates] === 0;
    if (isOff || best.without.includes(kind)) continue;
    await keep({ ...best, without: [...best.without, kind] });
  }
  for (let clients = 1; clients < (best.clients || swarm.load.clients); clients++) {
    if (await keep({ ...best, clients })) break;
  }
  for (let events = best.events || swarm.eventsMax; events > 100;) {
    events = Math.floor(events / 2);
    if (!await keep({ ...best, events })) break;
  }
  return best;
}
