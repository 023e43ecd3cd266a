// Where a shard touches what is not in its options: chance, pauses, and the cores it builds. The simulator
// puts its own in place and watches every step; production runs without.

import type { WriteTranslator } from "../../src/replication/io.ts";
import type { ReplicaCore } from "../../src/replication/replica.ts";
import type { ReplicaMachine } from "./driver_host.ts";
import type { OpenedReplica } from "./replica_store.ts";

/** See the file comment. */
export interface ShardHooks {
  /** 32 random bits. */
  random(): number;
  /** Resolves after `ms`. */
  pause(ms: number): Promise<void>;
  /** What the driver runs instead of the core. */
  machine(core: ReplicaCore, opened: OpenedReplica): ReplicaMachine;
  /** What the core calls instead of the translator. */
  translator(translator: WriteTranslator, opened: OpenedReplica): WriteTranslator;
}

/** The runtime's own. */
export const PLAIN_HOOKS: ShardHooks = {
  random: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  machine: (core) => core,
  translator: (translator) => translator,
};
