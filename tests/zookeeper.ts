// A real ZooKeeper server for tests, from Debian's jars: one process on a free loopback port, state in a
// temporary directory, short ticks, so that sessions of one second are allowed. It dies with the test process
// (setpriv), so that a killed test run leaves no server behind.

import { ZkClient, ZkError } from "../src/coordination/zookeeper_client.ts";

const JARS = ["zookeeper", "zookeeper-jute", "slf4j-nop"].map((name) =>
  `/usr/share/java/${name}.jar`
);
const APT = "apt-get install -y --no-install-recommends zookeeper default-jre-headless";
const START_MS = 30_000;
const STARTS_MAX = 3;
const POLL_MS = 20;

/** Why no server can be started here, with the remedy; `undefined` if it can. */
export function zooKeeperMissing(): string | undefined {
  const programs = ["/usr/bin/java", "/usr/bin/setpriv"];
  const missing = [...JARS, ...programs].filter((path) => !exists(path));
  if (missing.length === 0) return undefined;
  return `No ZooKeeper on this machine: ${missing.join(", ")} missing. Get it with "${APT}"`;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** How the server runs. */
export interface ZooKeeperOptions {
  /** Its unit of time: sessions last from 2 to 200 ticks, and expire at a tick. @default 200 */
  readonly tickMs?: number;
}

/** See the file comment. */
export class TestZooKeeper {
  readonly #dir = Deno.makeTempDirSync({ prefix: "pegasus_zookeeper_" });
  readonly #tickMs: number;
  #port = 0;
  #child: Deno.ChildProcess | undefined;

  private constructor(options: ZooKeeperOptions) {
    this.#tickMs = options.tickMs ?? 200;
  }

  /** A running server. @throws {Error} If it does not answer in time. */
  static async start(options: ZooKeeperOptions = {}): Promise<TestZooKeeper> {
    const server = new TestZooKeeper(options);
    // Somebody else may take the port between our look and the server's start.
    for (let attempt = 1;; attempt++) {
      server.#port = freePort();
      try {
        await server.start();
        return server;
      } catch (error) {
        if (attempt < STARTS_MAX) continue;
        Deno.removeSync(server.#dir, { recursive: true });
        throw error;
      }
    }
  }

  /** "127.0.0.1:port"; the same for its whole life. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Starts it again after `stop` or `kill`, with its state. */
  async start(): Promise<void> {
    const config = `${this.#dir}/zoo.cfg`;
    Deno.writeTextFileSync(
      config,
      [
        `dataDir=${this.#dir}/data`,
        `clientPort=${this.#port}`,
        "clientPortAddress=127.0.0.1",
        `tickTime=${this.#tickMs}`,
        `minSessionTimeout=${this.#tickMs * 2}`,
        `maxSessionTimeout=${this.#tickMs * 200}`,
        "maxClientCnxns=0",
        "admin.enableServer=false",
        "4lw.commands.whitelist=ruok",
      ].join("\n"),
    );
    this.#child = new Deno.Command("/usr/bin/setpriv", {
      args: [
        ...["--pdeathsig", "KILL", "/usr/bin/java"],
        // Fast to start, small, and without waiting for the disk: only processes die in these tests.
        ...["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
        ...["-Dzookeeper.forceSync=no", "-Dzookeeper.jmx.log4j.disable=true"],
        ...["-cp", JARS.join(":"), "org.apache.zookeeper.server.ZooKeeperServerMain", config],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const child = this.#child;
    let gone = false;
    child.status.then(() => gone = true);
    const until = performance.now() + START_MS;
    while (!(await this.#answers())) {
      if (gone || performance.now() > until) {
        await this.kill();
        throw new Error(`ZooKeeper ${gone ? "ended while starting" : "does not answer"}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Freezes the process: connections stand, nothing answers. */
  async freeze(): Promise<void> {
    const { pid } = this.#child!;
    this.#child!.kill("SIGSTOP");
    // The signal reaches each thread when it is scheduled next; until then it may still answer.
    const running = `grep -L ') T ' /proc/${pid}/task/*/stat`;
    for (;;) {
      const look = new Deno.Command("/bin/sh", { args: ["-c", running] });
      if ((await look.output()).stdout.length === 0) return;
    }
  }

  /** Lets a frozen process go on. */
  thaw(): void {
    this.#child!.kill("SIGCONT");
  }

  /** Ends the process as a crash would; `start` brings it back with its state. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    try {
      child.kill("SIGKILL");
    } catch {
      // It ended by itself.
    }
    await child.status;
  }

  /** Removes a node and everything below it, as somebody with the wrong command would. */
  async removeTree(path: string): Promise<void> {
    const client = await this.#connect();
    const remove = async (at: string) => {
      for (const name of await client.children(at)) await remove(`${at}/${name}`);
      // Who is watching makes it anew meanwhile: whatever is made below it now is of a new tree.
      await client.remove(at).catch((error) => {
        if (!(error instanceof ZkError) || !/noNode|notEmpty/.test(error.code)) throw error;
      });
    };
    await remove(path);
    await client.end("done");
  }

  #connect(): Promise<ZkClient> {
    return new Promise((resolve, reject) => {
      const client: ZkClient = new ZkClient({
        servers: [{ host: "127.0.0.1", port: this.#port }],
        sessionMs: 5000,
        onConnected: () => resolve(client),
        onDisconnected: () => {},
        onEnd: reject,
      });
    });
  }

  /** Like `destroy`, where nothing can be awaited any more. */
  destroyNow(): void {
    this.#child?.kill("SIGKILL");
    Deno.removeSync(this.#dir, { recursive: true });
  }

  /** Ends the process and removes its state. */
  async destroy(): Promise<void> {
    await this.kill();
    Deno.removeSync(this.#dir, { recursive: true });
  }

  async #answers(): Promise<boolean> {
    let connection: Deno.TcpConn;
    try {
      connection = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
    } catch {
      return false;
    }
    try {
      await connection.write(new TextEncoder().encode("ruok"));
      const answer = new Uint8Array(4);
      const length = await connection.read(answer);
      return length !== null && new TextDecoder().decode(answer.subarray(0, length)) === "imok";
    } catch {
      return false;
    } finally {
      connection.close();
    }
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
