// Processes of other stores, started for a comparison. Invariant: whatever happens, none of them and none of their
// files stays behind, except after SIGKILL.

import net from "node:net";

/** A store that runs for a comparison. */
export interface PeerProcesses {
  /** "host:port" of every server, the one to write to first. */
  readonly addresses: readonly string[];
  /** What runs, for people. */
  readonly description: string;
  stop(): Promise<void>;
}

const READY_MS = 15_000;

/** A directory and the processes that live in it. */
export class PeerGroup {
  readonly dir: string;
  readonly #children: Deno.ChildProcess[] = [];

  constructor(name: string) {
    this.dir = Deno.makeTempDirSync({ prefix: `pegasus-bench-${name}-` });
  }

  /** @throws {Error} If the program is not installed; names the package that has it. */
  start(program: string, args: readonly string[], aptPackage: string): void {
    try {
      const quiet = { stdin: "null", stdout: "null", stderr: "null" } as const;
      this.#children.push(new Deno.Command(program, { args: [...args], ...quiet }).spawn());
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Error(
        `"${program}" is not installed: apt-get install ${aptPackage}, or name a server that runs ` +
          "with --against-address",
      );
    }
  }

  /** Ends all processes and removes their files. */
  async stop(): Promise<void> {
    for (const child of this.#children) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    await Promise.all(this.#children.map((child) => child.status));
    Deno.removeSync(this.dir, { recursive: true });
  }
}

/** The version a program tells, "unknown" if it does not run. */
export function versionOf(program: string, args: readonly string[], pattern: RegExp): string {
  try {
    const { stdout } = new Deno.Command(program, { args: [...args] }).outputSync();
    return pattern.exec(new TextDecoder().decode(stdout))?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}

/** Ports nobody uses at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer());
  const ports = await Promise.all(servers.map((server) =>
    new Promise<number>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve((server.address() as net.AddressInfo).port));
    })
  ));
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

/** Waits until `ready` holds; a throw means not yet. @throws {Error} After 15 s, or the reason of the abort. */
export async function waitUntil(
  what: string,
  ready: () => Promise<boolean>,
  signal?: AbortSignal,
): Promise<void> {
  const end = performance.now() + READY_MS;
  let last = "";
  while (performance.now() < end) {
    signal?.throwIfAborted();
    try {
      if (await ready()) return;
    } catch (error) {
      last = error instanceof Error ? `: ${error.message}` : "";
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} was not ready in ${READY_MS / 1000} s${last}`);
}
