// What must be true some time after all faults have ended: every partition has its full membership, all
// members are equal, and nobody is stuck half-way.

import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import type { Env } from "./env.ts";
import type { Machine } from "./machine.ts";
import { bytesHash } from "./model_engine.ts";
import { membersOf } from "./watch_config.ts";

/**
 * @param isQuiet Whether clients have stopped: then all members must hold the whole history.
 * @returns What is not well yet; undefined if everything is.
 */
export function missingHealth(
  env: Env,
  machines: readonly Machine[],
  configs: readonly PartitionConfig[],
  isQuiet: boolean,
): unknown {
  for (const config of configs) {
    if (isLost(env, machines, config)) continue;
    const problem = missingOf(env, machines, config, isQuiet);
    if (problem !== undefined) {
      const replicas = machines.map((machine) => describe(machine, config.partition));
      return { partition: formatPartition(config.partition), problem, config, replicas };
    }
  }
  return undefined;
}

/**
 * Whether a partition waits for an operator: nothing is left of it; or its last two members lost their disks, and meta
 * does not know what the one before them lacks (meta.md, "Cure"); or, without fsync, who is left may have lost what it
 * acknowledged, with the power or with the end of a log that lacks what another one has. Then it must not come back by
 * itself (§12.5, §12.6).
 */
function isLost(env: Env, machines: readonly Machine[], config: PartitionConfig): boolean {
  if (env.watch.ghost(config.partition).isLost) {
    env.coverage.hit("liveness.onlyCopyLost");
    return true;
  }
  if (config.primary !== "") return false;
  const dropped = machines.filter(({ id }) => config.lastDrops.slice(-2).includes(id));
  const areGone = dropped.every(({ id, disk }) =>
    !disk.holds(config.partition) && env.watch.hasLost(id, config.partition)
  );
  if (config.secondaries.length === 0 && dropped.length === 2 && areGone) {
    env.coverage.hit("liveness.lastTwoLost");
    return true;
  }
  if (env.swarm.disk.fsync) return false;
  const members = machines.filter(({ id }) => config.secondaries.includes(id));
  const lost = members.every(({ process }) => {
    const core = process?.replica(config.partition)?.core;
    return core?.mayLack === true || core?.tailTorn === true;
  });
  if (lost) env.coverage.hit("liveness.waitsForOperator");
  return lost;
}

/** A replica in one line. */
function describe(machine: Machine, partition: PartitionId): string {
  const replica = machine.process?.replica(partition);
  if (replica === undefined) {
    return `${machine.id} ${machine.disk.holds(partition) ? "closed" : "none"}`;
  }
  const { core } = replica;
  const { status, ballot, committed, applied } = core;
  const kind = core.transient ? `${status} (transient)` : status;
  return `${machine.id} ${kind} ballot ${ballot} committed ${committed} applied ${applied}`;
}

function missingOf(
  env: Env,
  machines: readonly Machine[],
  config: PartitionConfig,
  isQuiet: boolean,
): unknown {
  const members = membersOf(config);
  const wanted = Math.min(env.swarm.replicaCount, env.swarm.servers);
  if (config.primary === "" || members.length !== wanted) return "membership";
  const ghost = env.watch.ghost(config.partition);
  const sessions = new Set<number>();
  for (const machine of machines) {
    const replica = machine.process?.replica(config.partition);
    if (!members.includes(machine.id)) {
      if (replica?.core.status === "learner") return { node: machine.id, status: "learner" };
      continue;
    }
    if (replica === undefined) return { node: machine.id, replica: "absent" };
    const { core } = replica;
    const status = machine.id === config.primary ? "primary" : "secondary";
    if (core.status !== status || core.ballot !== config.ballot) {
      return {
        node: machine.id,
        status: core.status,
        transient: core.transient,
        ballot: core.ballot,
      };
    }
    if (status === "primary" && !core.readable) return { node: machine.id, readable: false };
    // While clients write, lag is normal; without them everybody must reach the end.
    if (isQuiet && core.applied < ghost.committedMax) {
      return { node: machine.id, applied: core.applied, newest: ghost.committedMax };
    }
    if (isQuiet && replica.contentHash !== ghost.contentHash) {
      return { node: machine.id, content: "differs" };
    }
    sessions.add(bytesHash(core.sessionsImage));
  }
  if (isQuiet && sessions.size > 1) return "members remember different results of writes";
  if (!isQuiet && !ghost.hasProgress) return "no write and read were done";
  return undefined;
}
