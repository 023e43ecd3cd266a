// How much the faults of a run may take: the cluster promises to bear the loss of a copy as long as another member is
// whole, so the last whole one is not taken. What a cluster cannot bear, and has to tell, faults.ts does on purpose.

import type { PartitionId } from "../../src/base/ids.ts";
import type { Env } from "./env.ts";
import type { Machine } from "./machine.ts";
import { membersOf } from "./watch_config.ts";
import type { WatchedReplica } from "./watched.ts";

/** See the file comment. */
export class Budget {
  readonly #env: Env;
  readonly #machines: readonly Machine[];
  /** Servers that lost a part of what they had confirmed: by their policy of fsync, or by flipped bits. */
  readonly #doubtful = new Set<Machine>();
  /** Replicas with damaged rows. */
  readonly #harmed = new WeakSet<WatchedReplica>();

  constructor(env: Env, machines: readonly Machine[]) {
    this.#env = env;
    this.#machines = machines;
  }

  /** The server lost a part of what it had confirmed. */
  doubt(machine: Machine): void {
    this.#doubtful.add(machine);
  }

  /** Rows of the replica are damaged. @returns False if they were before. */
  harm(replica: WatchedReplica): boolean {
    if (this.#harmed.has(replica)) return false;
    this.#harmed.add(replica);
    return true;
  }

  /** Whether another member of each of its partitions still has everything, so that it may lose what it has. */
  mayLose(machine: Machine): boolean {
    // A partition that has not begun may begin on the very disk that fails.
    const begun = [...this.#env.watch.ghosts.values()].filter(({ newestConfig }) =>
      newestConfig!.ballot > 0
    );
    if (begun.length < this.#env.swarm.partitions) return false;
    return machine.disk.partitions.every((partition) => {
      const config = this.#env.watch.ghost(partition).newestConfig;
      if (config === undefined) return true;
      return membersOf(config).some((node) => {
        const other = this.#machines.find(({ id }) => id === node);
        return other !== undefined && other !== machine && !other.disk.poisoned &&
          other.disk.holds(partition) && !this.isDoubtful(other) &&
          !this.#isHarmed(other, partition) &&
          (this.#env.swarm.disk.fsync || other.disk.isWhole(partition));
      });
    });
  }

  /** Whether another member of each of its partitions runs. */
  isJoined({ id, disk }: Machine): boolean {
    return disk.partitions.every((partition) => {
      const config = this.#env.watch.ghost(partition).newestConfig;
      return config === undefined ||
        membersOf(config).some((node) =>
          node !== id && this.#machines.some((one) => one.id === node && one.process !== undefined)
        );
    });
  }

  /** Whether its copy is about to give way. */
  #isHarmed({ process }: Machine, partition: PartitionId): boolean {
    const replica = process?.replica(partition);
    return replica !== undefined && this.#harmed.has(replica);
  }

  /** Whether some server is comparing itself. */
  get isComparing(): boolean {
    return this.#machines.some((machine) => this.#compares(machine));
  }

  /**
   * Whether a server's newest records may have rotted and it is still finding out: another end now, and nothing
   * would show it any more (limits.md, "Damaged data").
   */
  #compares({ disk, process }: Machine): boolean {
    if (disk.rotten !== "tail") return false;
    return disk.isRotUnread || disk.partitions.some((partition) => {
      const core = process?.replica(partition)?.core;
      return core !== undefined && core.transient && core.tailTorn;
    });
  }

  /** Whether a server has lost something and nobody has found out yet what it lacks. */
  isDoubtful(machine: Machine): boolean {
    if (!this.#doubtful.has(machine)) return false;
    for (const [partition, { newestConfig }] of this.#env.watch.ghosts) {
      if (newestConfig === undefined || !membersOf(newestConfig).includes(machine.id)) continue;
      const core = machine.process?.replica(partition)?.core;
      const counts = core?.status === "primary" || core?.status === "secondary";
      if (!counts || core.ballot !== newestConfig.ballot) return true;
    }
    this.#doubtful.delete(machine);
    return false;
  }
}
