// The servers of one directory as real processes on this machine: start, stop, kill. The onebox commands
// and the cluster tests drive it. Invariant: the state file names every process started here before anyone
// waits for it, so that no server is ever left behind unknown.

import { isRunning, launch, outputFrom, pathsOf, signal, waitFor } from "./processes.ts";
import { awaitPorts } from "./ports.ts";
import { type OneboxState, readState, type ServerEntry, writeState } from "./state.ts";

/** Time in which a server has to listen, and to end after a signal: longer than it takes for itself (`stop-timeout`). */
const START_MS = 30_000;
const STOP_MS = 70_000;
const OUTPUT_TAIL_LINES = 15;
const EMBEDDED = "embedded";

/** How the servers of a cluster run. */
export interface LocalClusterOptions {
  /** Absolute path. */
  readonly dir: string;
  readonly cluster: string;
  /** Further flags by role. */
  readonly flags?: { readonly meta?: readonly string[]; readonly replica?: readonly string[] };
  /** Further flags of one server. @default none */
  readonly flagsOf?: (name: string) => readonly string[];
  /** Further environment variables of one server. @default none */
  readonly envOf?: (name: string) => Readonly<Record<string, string>>;
  /** Further data directories of a server, of a replica server only. @default none */
  readonly moreDirs?: (name: string) => readonly string[];
  /** Takes a line for people when something takes long. @default nobody */
  readonly note?: (line: string) => void;
}

/** See the file comment. */
export class LocalCluster {
  readonly dir: string;
  readonly cluster: string;
  readonly #flagsOf: (name: string) => readonly string[];
  readonly #envOf: (name: string) => Readonly<Record<string, string>>;
  readonly #moreDirs: (name: string) => readonly string[];
  readonly #flags: { readonly meta: readonly string[]; readonly replica: readonly string[] };
  readonly #note: (line: string) => void;
  /** Process ids of servers that are about to end: the state has forgotten them. */
  readonly #ending = new Map<string, number>();

  /** @param options Where and how. The state file has to exist, or `plan` has to be called first. */
  constructor(options: LocalClusterOptions) {
    this.dir = options.dir;
    this.cluster = options.cluster;
    this.#flagsOf = options.flagsOf ?? (() => []);
    this.#envOf = options.envOf ?? (() => ({}));
    this.#moreDirs = options.moreDirs ?? (() => []);
    this.#note = options.note ?? (() => {});
    this.#flags = { meta: options.flags?.meta ?? [], replica: options.flags?.replica ?? [] };
  }

  /** Writes down the servers there will be, and where meta keeps its state; absent = as before. */
  plan(servers: readonly ServerEntry[], coordinator = this.coordinator): void {
    writeState(this.dir, {
      version: 1,
      servers,
      ...(coordinator === EMBEDDED ? {} : { coordinator }),
    });
  }

  /** Where meta keeps its state: "embedded" or an address. */
  get coordinator(): string {
    return this.state.coordinator ?? EMBEDDED;
  }

  /** The newest state: other commands change it too. */
  get state(): OneboxState {
    return readState(this.dir) ?? { version: 1, servers: [] };
  }

  /** Addresses of the meta servers. */
  get metas(): string[] {
    return this.state.servers.filter(({ role }) => role === "meta").map(({ address }) => address);
  }

  /** Addresses of the replica servers. */
  get replicas(): string[] {
    return this.state.servers.filter(({ role }) => role === "replica").map((entry) =>
      entry.address
    );
  }

  /** The server of a name. @throws {Error} If there is none. */
  entry(name: string): ServerEntry {
    const { servers } = this.state;
    const found = servers.find((server) => server.name === name);
    if (found !== undefined) return found;
    const names = servers.map((server) => server.name).join(", ");
    throw new Error(`There is no server "${name}": expected one of ${names || "none"}`);
  }

  isRunning(entry: ServerEntry): boolean {
    return isRunning(entry.pid, pathsOf(this.dir, entry.name).dataDir);
  }

  /** Names of the servers that run, in order. */
  running(): string[] {
    return this.state.servers.filter((entry) => this.isRunning(entry)).map(({ name }) => name);
  }

  /**
   * Starts all servers that do not run: meta servers first, then the replica servers together.
   *
   * @param isGivenUp Asked all the time: whether to start nothing more and to wait no longer.
   * @throws {Error} If one cannot be started, or it was given up; some may run, and none starts any more.
   */
  async startAll(isGivenUp = () => false): Promise<void> {
    // All of them before the first one starts: half a cluster is worse than none.
    const all = this.state.servers.filter((entry) => !this.isRunning(entry));
    await awaitPorts(all, { isGivenUp, note: this.#note });
    for (const role of ["meta", "replica"] as const) {
      const idle = this.state.servers.filter((entry) =>
        entry.role === role && !this.isRunning(entry)
      );
      const failures: unknown[] = [];
      const isOver = () => failures.length > 0 || isGivenUp();
      const starts = idle.map(({ name }) => this.start(name, isOver));
      await Promise.all(starts.map((start) => start.catch((error) => failures.push(error))));
      if (failures.length > 0) throw failures[0];
    }
  }

  /**
   * Starts one server and waits until it listens.
   *
   * @param isGivenUp Asked all the time: whether not to start it, or not to wait any longer.
   * @throws {Error} If it runs already, if its address is taken, if it was given up (then it may run), or if it ends or
   * does not listen in time; with its last output.
   */
  async start(name: string, isGivenUp = () => false): Promise<void> {
    const entry = this.entry(name);
    if (this.isRunning(entry)) throw new Error(`"${name}" runs already (pid ${entry.pid})`);
    await awaitPorts([entry], { isGivenUp, note: this.#note });
    const paths = pathsOf(this.dir, name);
    const flags = [
      `--cluster=${this.cluster}`,
      `--listen=${entry.address}`,
      `--data-dir=${[paths.dataDir, ...this.#moreDirs(name)].join(",")}`,
      ...(entry.http === undefined ? [] : [`--http=${entry.http}`]),
      ...(entry.role === "replica" ? [`--meta=${this.metas.join(",")}`] : this.#storeFlags()),
      ...this.#flags[entry.role],
      ...this.#flagsOf(name),
    ];
    if (isGivenUp()) throw new Error(`"${name}" was not started: interrupted`);
    const { pid, outputStart } = await launch(
      paths,
      [entry.role, ...flags],
      this.#envOf(name),
      (pid) => this.#update(name, { pid }),
    );
    let address: string | undefined;
    let gone = false;
    await waitFor(() => {
      address = readyAddress(outputFrom(paths, outputStart));
      gone = address === undefined && !isRunning(pid, paths.dataDir);
      return address !== undefined || gone || isGivenUp();
    }, START_MS);
    if (address !== undefined) {
      this.#update(name, { address });
      return;
    }
    if (!gone && isGivenUp()) throw new Error(`"${name}" was not waited for: interrupted`);
    signal(pid, paths.dataDir, "SIGKILL");
    this.#forget(name);
    const last = outputFrom(paths, outputStart).trimEnd().split("\n").slice(-OUTPUT_TAIL_LINES);
    const what = gone ? "ended while starting" : `did not listen within ${START_MS / 1000} s`;
    throw new Error(`"${name}" ${what}; the end of ${paths.outputFile}:\n${last.join("\n")}`);
  }

  /** Ends one server: politely, and after a while without asking. @returns False if it did not run. */
  async stop(name: string): Promise<boolean> {
    return await this.#end(name, "SIGTERM");
  }

  /** Ends one server at once, as a crash would, also one that is being stopped. @returns False if it did not run. */
  async kill(name: string): Promise<boolean> {
    return await this.#end(name, "SIGKILL");
  }

  /**
   * Stops everything, meta servers first: the others would hand over what they lead to those that stop a moment later,
   * and the last one would lead everything at the next start.
   */
  async stopAll(): Promise<void> {
    for (const role of ["meta", "replica"] as const) {
      const some = this.state.servers.filter((entry) => entry.role === role);
      await Promise.all(some.map(({ name }) => this.stop(name)));
    }
  }

  /** Ends everything at once. */
  async killAll(): Promise<void> {
    await Promise.all(this.state.servers.map(({ name }) => this.kill(name)));
  }

  async #end(name: string, first: "SIGTERM" | "SIGKILL"): Promise<boolean> {
    const stopping = first === "SIGKILL" ? this.#ending.get(name) : undefined;
    const pid = stopping ?? this.entry(name).pid;
    const { dataDir } = pathsOf(this.dir, name);
    // The state first: whoever supervises must see that this end was wanted.
    this.#forget(name);
    if (!signal(pid, dataDir, first)) return false;
    this.#ending.set(name, pid);
    const isGone = () => !isRunning(pid, dataDir);
    if (!(await waitFor(isGone, STOP_MS))) {
      signal(pid, dataDir, "SIGKILL");
      await waitFor(isGone, STOP_MS);
    }
    this.#ending.delete(name);
    return true;
  }

  #forget(name: string): void {
    try {
      this.#update(name, { pid: 0 });
    } catch {
      // A full disk must not keep a server running; an id that stays behind is recognised as nobody's.
    }
  }

  /** Embedded needs no flag, and a settings file may say otherwise. */
  #storeFlags(): string[] {
    return this.coordinator === EMBEDDED ? [] : [`--coordinator=${this.coordinator}`];
  }

  #update(name: string, change: Partial<Pick<ServerEntry, "pid" | "address">>): void {
    const { servers } = this.state;
    this.plan(servers.map((entry) => entry.name === name ? { ...entry, ...change } : entry));
  }
}

/** The address in the line a server prints when it listens; `undefined` before. */
export function readyAddress(output: string): string | undefined {
  const text = /^pegasus \w+ ready at (\S+)$/m.exec(output)?.[1];
  return text ?? /^\{"ready":"\w+","address":"([^"]+)"\}$/m.exec(output)?.[1];
}
