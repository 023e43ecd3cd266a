// What differs between seeds: the size of the world, small limits so that windows, caches and logs wrap
// within seconds, and a random subset of faults with rates drawn per order of magnitude. A fault that is
// off in many seeds lets the others run longer before they meet it (docs/testing.md, "Simulator").

import { META_DEFAULTS, type MetaSettings } from "../../src/placement/io.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { ServerSettings } from "../../src/replication/server_io.ts";
import { between, type Chance, integerBetween, logUniform } from "./chance.ts";
import type { NetworkRates } from "./network.ts";

/** Mean pause between two faults of a kind, virtual ms; 0 switches the kind off. */
export interface FaultRates {
  readonly crashMs: number;
  readonly powerLossMs: number;
  /** All servers at once. */
  readonly blackoutMs: number;
  readonly pauseMs: number;
  readonly suspendMs: number;
  readonly cutMs: number;
  readonly partitionMs: number;
  readonly clogMs: number;
  readonly clockStepMs: number;
  /** A failing fsync, a full disk, a failing engine. */
  readonly diskFaultMs: number;
  /** The files of one replica disappear. */
  readonly lostReplicaMs: number;
  /** Rows of some or all copies of a partition are found to be damaged. */
  readonly harmMs: number;
  /** The only copy of a partition disappears. */
  readonly lostCopyMs: number;
  /** Flipped bits in a log or manifest. */
  readonly rotMs: number;
  readonly metaCrashMs: number;
  readonly storeFaultMs: number;
  readonly adminMs: number;
  /** Nodes change their place in an order of slowness: orderings that chance alone hardly ever gives. */
  readonly slowMs: number;
  /** Two primaries in a row die, the first one half heard. */
  readonly twoPrimariesMs: number;
  /** Two primaries die, the second one with half of its takeover done. */
  readonly halfPreparedMs: number;
  /** A primary dies, and a secondary forgets that what it alone held is void. */
  readonly forgottenMs: number;
  /** A leader of the metas sleeps, and a primary reaches nobody else. */
  readonly sleepingLeaderMs: number;
  /** A server is stopped in order: others lead first what it leads. */
  readonly stopMs: number;
  /** A primary is back while its removal is being stored. */
  readonly returnMs: number;
}

/** Speeds of disks and engines, ms, and how often they fail. */
export interface DiskRates {
  readonly fsync: boolean;
  readonly syncTypicalMs: number;
  readonly syncMaxMs: number;
  readonly applyTypicalMs: number;
  readonly checkpointTypicalMs: number;
  readonly privateSyncMs: number;
  /** Probability that a private log is cut down to what durability needs, per checkpoint. */
  readonly collect: number;
  /** Probability of a new engine segment per batch. */
  readonly segmentSwitch: number;
  /** Whole servers only: sizes of log segments, and how much private log is kept for learners, bytes. */
  readonly sharedSegmentBytes: number;
  readonly privateSegmentBytes: number;
  readonly privateReserveBytes: number;
  /** How long and how much committed rows wait for the database. */
  readonly writeBehindMs: number;
  readonly writeBehindBytes: number;
}

/** Clients and what they ask. */
export interface LoadRates {
  readonly clients: number;
  /** Operations one client has outstanding. */
  readonly outstanding: number;
  readonly hashKeys: number;
  readonly thinkMs: number;
  readonly timeoutMs: number;
  /** Share of clients that use the library's retries and exactly-once sessions. */
  readonly library: number;
}

/** One seed's world. */
export interface Swarm {
  readonly servers: number;
  /** Servers are the production ones on disks of bytes, instead of production cores on models of logs. */
  readonly whole: boolean;
  /** 0: the scripted meta of scripted_meta.ts, which misbehaves more. */
  readonly metas: number;
  readonly partitions: number;
  readonly replicaCount: number;
  readonly eventsMax: number;
  readonly tickMs: number;
  /** Window of an order of priority, ms; 0 = time alone decides. And how often the order changes. */
  readonly priorityMs: number;
  readonly priorityChanges: number;
  readonly replica: ReplicaSettings;
  readonly server: ServerSettings;
  readonly graceMs: number;
  readonly meta: MetaSettings;
  readonly network: NetworkRates;
  readonly disk: DiskRates;
  readonly load: LoadRates;
  readonly faults: FaultRates;
}

const GRACE_MS = 1200;
/** Share of seeds with whole servers. */
const WHOLE = 1 / 3;

/** Draws the world of a seed. */
export function drawSwarm(chance: Chance): Swarm {
  const draw = chance.stream("swarm");
  const size = draw.float();
  const servers = size < 0.6 ? 3 : integerBetween(draw, 3, 5);
  const lossy = draw.chance(0.7);
  const mildness = draw.float();
  return {
    servers,
    whole: draw.chance(WHOLE),
    metas: draw.pick([0, 1, 3, 3]),
    partitions: size < 0.6 ? 1 : integerBetween(draw, 1, 4),
    replicaCount: draw.chance(0.8) ? 3 : integerBetween(draw, 1, 3),
    eventsMax: size < 0.6 ? 8000 : size < 0.9 ? 20_000 : 60_000,
    tickMs: between(draw, 20, 80),
    priorityMs: draw.chance(1 / 4) ? logUniform(draw, 0.5, 40) : 0,
    priorityChanges: integerBetween(draw, 0, 3),
    replica: drawReplica(draw),
    // One virtual second of lease instead of five: failovers are as frequent as everything else.
    server: {
      beaconIntervalMs: 200,
      // Longer than grace - lease: then it matters that a lease counts from the question.
      beaconTimeoutMs: draw.chance(0.5) ? 150 : integerBetween(draw, 300, 900),
      metaSwitchMs: 40,
      leaseMs: 1000,
      leaseSafetyMs: 50,
      lookaheadMs: 80,
      configSyncIntervalMs: integerBetween(draw, 500, 3000),
      configSyncBusyMs: 100,
      configSyncRetryMs: 40,
      configSyncTimeoutMs: 1000,
      absentCloseMs: integerBetween(draw, 2000, 60_000),
      handOverMs: 0,
    },
    graceMs: GRACE_MS,
    meta: {
      ...META_DEFAULTS,
      leaseMs: 1000,
      graceMs: GRACE_MS,
      failureCheckMs: 100,
      cureIntervalMs: integerBetween(draw, 100, 500),
      replicaAssignDelayMs: integerBetween(draw, 200, 6000),
      proposalGiveUpMs: integerBetween(draw, 500, 3000),
      storeBatch: integerBetween(draw, 1, 4),
      garbageDelayMs: 2000,
    },
    network: {
      mode: lossy ? "lossy" : "tcp",
      delayTypicalMs: logUniform(draw, 0.2, 5),
      delayMaxMs: draw.chance(0.3) ? 300_000 : logUniform(draw, 50, 5000),
      drop: draw.chance(0.6) ? logUniform(draw, 0.0005, 0.05) : 0,
      duplicate: draw.chance(0.6) ? logUniform(draw, 0.0005, 0.1) : 0,
      reset: draw.chance(0.6) ? logUniform(draw, 0.0002, 0.01) : 0,
      throughBytes: draw.chance(1 / 8),
    },
    disk: drawDisk(chance),
    load: {
      clients: integerBetween(draw, 3, 6),
      outstanding: integerBetween(draw, 1, 3),
      hashKeys: integerBetween(draw, 2, 4),
      thinkMs: logUniform(draw, 2, 60),
      timeoutMs: integerBetween(draw, 300, 4000),
      library: draw.float(),
    },
    faults: drawFaults(chance, mildness < 0.15),
  };
}

function drawReplica(draw: Prng): ReplicaSettings {
  return {
    inflightMutationsMax: integerBetween(draw, 1, 6),
    mutationBytesMax: draw.chance(0.5) ? 64 : 100_000,
    queuedWritesMax: integerBetween(draw, 4, 40),
    cacheMutationsMax: integerBetween(draw, 2, 16),
    cacheBytesMax: 100_000,
    prepareTimeoutMs: integerBetween(draw, 300, 1500),
    learnerPrepareTimeoutMs: integerBetween(draw, 300, 2000),
    prepareResendMs: integerBetween(draw, 50, 250),
    groupCheckIntervalMs: integerBetween(draw, 300, 3000),
    idleCommitMs: integerBetween(draw, 50, 500),
    reconfigureResendMs: integerBetween(draw, 100, 500),
    learnRetryMs: integerBetween(draw, 50, 500),
    checkpointIntervalMs: integerBetween(draw, 500, 5000),
    checkpointDecrees: integerBetween(draw, 5, 50),
    minReplicaCount: draw.chance(0.3) ? 1 : 0,
    sessionsMax: draw.chance(0.2) ? integerBetween(draw, 1, 6) : 100,
    sessionResultsMax: draw.chance(0.2) ? integerBetween(draw, 1, 10) : 1000,
  };
}

function drawDisk(chance: Chance): DiskRates {
  const draw = chance.stream("swarm.disk");
  return {
    fsync: !draw.chance(1 / 8),
    syncTypicalMs: logUniform(draw, 0.1, 5),
    syncMaxMs: draw.chance(0.3) ? 3000 : 50,
    applyTypicalMs: logUniform(draw, 0.05, 3),
    checkpointTypicalMs: logUniform(draw, 1, 100),
    privateSyncMs: integerBetween(draw, 100, 1500),
    collect: draw.chance(0.7) ? draw.float() : 0,
    segmentSwitch: draw.chance(0.5) ? logUniform(draw, 0.01, 0.3) : 0,
    sharedSegmentBytes: integerBetween(draw, 1024, 8192),
    privateSegmentBytes: integerBetween(draw, 512, 4096),
    writeBehindMs: integerBetween(draw, 1, 200),
    writeBehindBytes: integerBetween(draw, 200, 5000),
    privateReserveBytes: draw.chance(0.5) ? 0 : integerBetween(draw, 0, 20_000),
  };
}

function drawFaults(chance: Chance, none: boolean): FaultRates {
  const draw = chance.stream("swarm.faults");
  const rate = (probability: number, min: number, max: number): number => {
    const on = draw.chance(probability);
    const value = logUniform(draw, min, max);
    return on && !none ? value : 0;
  };
  // A wall clock set back during a suspend defeats both clocks of a lease at once: not both in one world.
  const steps = draw.chance(0.5);
  return {
    crashMs: rate(0.6, 1000, 30_000),
    powerLossMs: rate(0.4, 2000, 60_000),
    blackoutMs: rate(0.15, 10_000, 60_000),
    pauseMs: rate(0.4, 1000, 30_000),
    suspendMs: rate(steps ? 0 : 0.3, 5000, 60_000),
    cutMs: rate(0.5, 1000, 20_000),
    partitionMs: rate(0.3, 3000, 30_000),
    clogMs: rate(0.3, 500, 10_000),
    clockStepMs: rate(steps ? 0.4 : 0, 2000, 30_000),
    diskFaultMs: rate(0.25, 5000, 60_000),
    metaCrashMs: rate(0.4, 3000, 60_000),
    storeFaultMs: rate(0.4, 2000, 30_000),
    adminMs: rate(0.5, 500, 10_000),
    slowMs: rate(0.25, 3000, 30_000),
    twoPrimariesMs: rate(0.3, 1000, 10_000),
    returnMs: rate(0.2, 3000, 20_000),
    halfPreparedMs: rate(0.25, 1000, 10_000),
    sleepingLeaderMs: rate(0.4, 1500, 8000),
    lostReplicaMs: rate(0.15, 4000, 40_000),
    harmMs: rate(0.25, 1000, 20_000),
    lostCopyMs: rate(0.5, 1000, 10_000),
    stopMs: rate(0.3, 2000, 20_000),
    rotMs: rate(0.3, 1000, 20_000),
    forgottenMs: rate(0.4, 1000, 10_000),
  };
}
