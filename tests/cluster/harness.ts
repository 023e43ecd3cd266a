// A real cluster for a test: processes on kernel-chosen ports, everything in a temporary directory, failure
// detection fast enough for tests and slow enough for a busy machine. Built on the onebox, so that what
// people run is what is tested. A failed test keeps the directory with the servers' logs and names it.

import { existsSync } from "node:fs";
import { LocalCluster } from "../../roles/onebox/local_cluster.ts";
import { pathsOf, waitFor } from "../../roles/onebox/processes.ts";
import type { DialSecurity } from "../../src/rpc/security.ts";
import { Probe } from "../../roles/onebox/probe.ts";
import { planServers } from "../../roles/onebox/state.ts";
import { SmallDisk } from "../small_disk.ts";

/** What kind of cluster. */
export interface ClusterOptions {
  /** @default 3 */
  readonly replicas?: number;
  /** Several need a coordinator. @default 1 */
  readonly metas?: number;
  /** Where meta keeps its state. @default "embedded" */
  readonly coordinator?: string;
  /** How the test itself talks to meta. @default plain TCP, nobody in particular */
  readonly dial?: DialSecurity;
  /** How many of the replica servers the story itself starts, the last ones. @default 0 */
  readonly later?: number;
  /** Data directories of each replica server: "<dir>/r1/data", "<dir>/r1/disk2", ... @default 1 */
  readonly disks?: number;
  /** Flags of one server. @default none */
  readonly flagsOf?: (name: string) => readonly string[];
  /** Settings beside or instead of {@link TEST_SETTINGS}, by their keys in the file. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Servers whose data is on a small disk of its own, with its size in MiB. @default none */
  readonly smallDisks?: Readonly<Record<string, number>>;
}

/** Settings of test clusters. A dead server is noticed after 2.5 s. */
export const TEST_SETTINGS: Readonly<Record<string, string | number | boolean>> = {
  "beacon-interval": "250ms",
  "beacon-timeout": "400ms",
  "lease": "2s",
  "lease-safety": "100ms",
  "grace": "2500ms",
  "failure-check": "100ms",
  "cure-interval": "200ms",
  "config-sync-interval": "1s",
  "replica-assign-delay": "2s",
  "log-level": "debug",
  "shards": 1,
};

const WAIT_MS = 60_000;

/** A running cluster; names are m1, r1, r2, ... */
export class TestCluster {
  /** Disks of servers that have one of their own. */
  readonly smallDisks: ReadonlyMap<string, SmallDisk>;
  readonly #local: LocalCluster;
  readonly #probe: Probe;

  constructor(
    local: LocalCluster,
    smallDisks: ReadonlyMap<string, SmallDisk>,
    dial?: DialSecurity,
  ) {
    this.#local = local;
    this.smallDisks = smallDisks;
    this.#probe = new Probe(local.cluster, local.metas, dial);
  }

  /** Directory of everything: "<dir>/r1/log/server.log" is the output of r1. */
  get dir(): string {
    return this.#local.dir;
  }

  /** Name of the cluster. */
  get cluster(): string {
    return this.#local.cluster;
  }

  /** Addresses of the meta servers. */
  get metas(): string[] {
    return this.#local.metas;
  }

  /** Questions to meta. */
  get probe(): Probe {
    return this.#probe;
  }

  /** host:port of a server. */
  addressOf(name: string): string {
    return this.#local.entry(name).address;
  }

  /** Process id of a server, 0 if it was stopped. */
  pidOf(name: string): number {
    return this.#local.entry(name).pid;
  }

  /** Output of a server since it was made. */
  outputOf(name: string): string {
    return Deno.readTextFileSync(pathsOf(this.dir, name).outputFile);
  }

  /** Meta servers started from now on keep their state there. */
  useCoordinator(coordinator: string): void {
    this.#local.plan(this.#local.state.servers, coordinator);
  }

  running(): string[] {
    return this.#local.running();
  }

  /** SIGKILL, as a crash. */
  async kill(name: string): Promise<void> {
    if (!(await this.#local.kill(name))) throw new Error(`"${name}" does not run`);
  }

  /** SIGTERM, and waits until the process is gone. */
  async stop(name: string): Promise<void> {
    if (!(await this.#local.stop(name))) throw new Error(`"${name}" does not run`);
  }

  /** Starts a server again: same directory, same address. */
  start(name: string): Promise<void> {
    return this.#local.start(name);
  }

  /** Starts all servers that do not run. */
  startAll(): Promise<void> {
    return this.#local.startAll();
  }

  /** SIGKILL to everything. */
  killAll(): Promise<void> {
    return this.#local.killAll();
  }

  /** SIGTERM to everything, meta servers first. */
  stopAll(): Promise<void> {
    return this.#local.stopAll();
  }

  /** Waits until meta sees `count` replica servers alive. @throws {Error} After a minute. */
  async waitForNodes(count: number): Promise<void> {
    if (await this.#probe.waitForNodes(count, WAIT_MS)) return;
    throw new Error(`Meta does not see ${count} replica servers`);
  }

  /** Waits until meta sees exactly `count` replica servers alive. @throws {Error} After a minute. */
  async waitForExactly(count: number): Promise<void> {
    const isSo = async () => (await this.#probe.look()).nodesAlive === count;
    if (await waitFor(isSo, WAIT_MS)) return;
    throw new Error(`Meta does not see exactly ${count} replica servers`);
  }

  /** Creates a table and waits until it serves with all members. */
  async createTable(name: string, partitionCount: number, replicas: number): Promise<void> {
    await this.#probe.createTable(name, partitionCount, replicas);
    await this.waitForTable(name, replicas);
  }

  /** Waits until every partition has a primary and `members` members. @throws {Error} After a minute. */
  async waitForTable(name: string, members: number): Promise<void> {
    if (await this.#probe.waitForTable(name, members, WAIT_MS)) return;
    throw new Error(`Table "${name}" does not get ${members} members in every partition`);
  }

  /** Gives up the questions to meta; the processes go on. */
  close(): Promise<void> {
    return this.#probe.close();
  }
}

/**
 * Starts a cluster, runs `story`, ends the cluster and removes its directory. If the story or the end of a
 * server fails, everything is killed, the directory stays, and the error names it.
 */
export async function withCluster(
  options: ClusterOptions,
  story: (cluster: TestCluster) => Promise<void>,
): Promise<void> {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-cluster-" }));
  const config = `${dir}/pegasus.toml`;
  const settings = { ...TEST_SETTINGS, ...options.settings };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  Deno.writeTextFileSync(config, lines.join("\n") + "\n");
  const flags = [`--config=${config}`];
  const { disks = 1, flagsOf = () => [] } = options;
  const local = new LocalCluster({
    ...{ dir, cluster: "test", flagsOf },
    flags: { meta: flags, replica: flags },
    moreDirs: (name) =>
      name.startsWith("r")
        ? Array.from({ length: disks - 1 }, (_, i) => `${dir}/${name}/disk${i + 2}`)
        : [],
  });
  local.plan(planServers(options.metas ?? 1, options.replicas ?? 3, 0), options.coordinator);
  let cluster: TestCluster | undefined;
  const smallDisks = new Map<string, SmallDisk>();
  try {
    for (const [name, mebibytes] of Object.entries(options.smallDisks ?? {})) {
      smallDisks.set(name, new SmallDisk(pathsOf(dir, name).dataDir, mebibytes));
    }
    const count = (options.replicas ?? 3) - (options.later ?? 0);
    if (options.later === undefined) await local.startAll();
    else {
      for (let i = 1; i <= (options.metas ?? 1); i++) await local.start(`m${i}`);
      await Promise.all(Array.from({ length: count }, (_, i) => local.start(`r${i + 1}`)));
    }
    cluster = new TestCluster(local, smallDisks, options.dial);
    await cluster.waitForNodes(count);
    await story(cluster);
    await local.stopAll();
  } catch (cause) {
    await local.killAll();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${reason}\nThe servers' logs are below ${dir}`, { cause });
  } finally {
    await cluster?.close();
    for (const disk of smallDisks.values()) disk.unmount();
  }
  removeTree(dir);
}

/** Removes a directory in which something else may vanish meanwhile. */
function removeTree(dir: string): void {
  while (existsSync(dir)) {
    try {
      Deno.removeSync(dir, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
