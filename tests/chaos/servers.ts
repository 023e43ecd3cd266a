// Meta and replica servers as real processes whose connections among each other can run through the proxies of
// network.ts: what chaos and the hand-over tests have in common. Invariant: signals go only to processes that were
// started here and that still own their data directory.

import { LocalCluster } from "../../roles/onebox/local_cluster.ts";
import { pathsOf, signal } from "../../roles/onebox/processes.ts";
import { planServers } from "../../roles/onebox/state.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { Network } from "./network.ts";

/** What runs. */
export interface ServersOptions {
  readonly dir: string;
  readonly cluster: string;
  readonly metas: number;
  readonly replicas: number;
  /** By their keys in the file of settings. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
}

/** The servers m1, m2, ..., r1, r2, ... */
export abstract class ProxiedServers {
  readonly dir: string;
  readonly network = new Network();
  readonly metas: readonly string[];
  readonly replicas: readonly string[];
  /** Talks to servers past the proxies, for the driver's own questions. */
  readonly direct: TcpRpcClient;
  protected readonly local: LocalCluster;

  protected constructor({ dir, cluster, metas, replicas, settings }: ServersOptions) {
    this.dir = dir;
    this.direct = new TcpRpcClient({ identity: { cluster, node: "", role: "driver" } });
    const config = `${dir}/pegasus.toml`;
    const lines = Object.entries(settings).map(([key, value]) =>
      `${key} = ${JSON.stringify(value)}\n`
    );
    Deno.writeTextFileSync(config, lines.join(""));
    const flags = [`--config=${config}`];
    this.local = new LocalCluster({
      dir,
      cluster,
      flags: { meta: flags, replica: flags },
      envOf: (name) => this.envOf(name),
      flagsOf: (name) => this.flagsOf(name),
    });
    this.local.plan(withPorts(planServers(metas, replicas, 0)));
    const named = (wanted: string) =>
      this.local.state.servers.filter(({ role }) => role === wanted).map(({ name }) => name);
    this.metas = named("meta");
    this.replicas = named("replica");
  }

  /** Flags of one server beside the settings; asked at each start. */
  protected abstract flagsOf(name: string): string[];

  /** Variables of one server's environment. */
  protected envOf(_name: string): Record<string, string> {
    return {};
  }

  /** Where somebody dials instead of the other servers' addresses: proxies of its own. */
  protected dialMap(from: string): Map<string, string> {
    const others = this.local.state.servers.filter(({ name }) => name !== from);
    return new Map(
      others.map(({ name, address }) => [address, this.network.proxy(from, name, address)]),
    );
  }

  /** Makes a server dial proxies. @returns The flag that it must be given. */
  protected writeDialMap(from: string): string {
    const path = `${this.dir}/${from}.dial.json`;
    Deno.writeTextFileSync(path, JSON.stringify(Object.fromEntries(this.dialMap(from))));
    return `--dial-map=${path}`;
  }

  addressOf(name: string): string {
    return this.local.entry(name).address;
  }

  /** The name behind an address. */
  nameOf(address: string): string {
    const entry = this.local.state.servers.find((server) => server.address === address);
    if (entry === undefined) throw new Error(`No server has the address ${address}`);
    return entry.name;
  }

  dataDirOf(name: string): string {
    return pathsOf(this.dir, name).dataDir;
  }

  /** SIGKILL. */
  async kill(name: string): Promise<void> {
    if (!(await this.local.kill(name))) throw new Error(`"${name}" had ended by itself`);
  }

  /** SIGTERM; resolves when the process has ended. */
  async stop(name: string): Promise<void> {
    if (!(await this.local.stop(name))) throw new Error(`"${name}" had ended by itself`);
  }

  start(name: string): Promise<void> {
    return this.local.start(name);
  }

  /** SIGSTOP. */
  pause(name: string): void {
    this.#signal(name, "SIGSTOP");
  }

  /** SIGCONT. */
  resume(name: string): void {
    this.#signal(name, "SIGCONT");
  }

  /** Stops politely. @throws {Error} If a server had ended by itself. */
  async end(): Promise<void> {
    for (const name of [...this.replicas, ...this.metas]) await this.stop(name);
    await this.destroy();
  }

  /** Kills everything and ends the network. */
  async destroy(): Promise<void> {
    await this.local.killAll();
    await this.direct.close();
    await this.network.close();
  }

  #signal(name: string, what: Deno.Signal): void {
    if (signal(this.local.entry(name).pid, this.dataDirOf(name), what)) return;
    throw new Error(`"${name}" had ended by itself`);
  }
}

/**
 * Proxies must know the addresses before the servers start. The ports are held until all are chosen, and lie where
 * the kernel takes none for connections: while a server is down, nobody else may get its port.
 */
function withPorts(servers: ReturnType<typeof planServers>): ReturnType<typeof planServers> {
  const held = servers.map(() => holdPort());
  const planned = servers.map((server, i) => ({
    ...server,
    address: `127.0.0.1:${held[i]!.addr.port}`,
  }));
  for (const listener of held) listener.close();
  return planned;
}

function holdPort(): Deno.TcpListener {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      return Deno.listen({ hostname: "127.0.0.1", port });
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
