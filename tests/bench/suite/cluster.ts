// A onebox of the suite's own, started, loaded and stopped by the commands its users type.

import { Probe } from "../../../roles/onebox/probe.ts";
import { readState } from "../../../roles/onebox/state.ts";
import type { Report } from "../../../roles/bench/report.ts";
import type { Line } from "./lines.ts";
import { parseSample, type Sample } from "./samples.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const OPERATIONS_MIN = 500;

/** A result and its peer's, if it had one. */
export type Result = Report & { readonly against?: Report };

/** See the file comment. */
export class SuiteCluster {
  /** Those that have not been stopped. */
  static readonly #running = new Set<SuiteCluster>();

  readonly #dir: string;
  /** By server. */
  readonly #httpPorts = new Map<string, number>();

  #stopping: Promise<void> | undefined;

  private constructor(dir: string) {
    this.#dir = dir;
    SuiteCluster.#running.add(this);
  }

  /** Stops what runs, as when the suite is interrupted. */
  static async stopAll(): Promise<void> {
    // A benchmark ends its peers and waits for what is outstanding: while somebody answers.
    try {
      child?.kill("SIGINT");
    } catch {
      // It ended by itself.
    }
    await child?.status;
    for (const cluster of SuiteCluster.#running) await cluster.stop();
  }

  /** @param settings Lines of the configuration file. @throws {Error} If it does not start. */
  static async start(
    flags: readonly string[] = [],
    settings: readonly string[] = [],
  ): Promise<SuiteCluster> {
    const dir = Deno.makeTempDirSync({ prefix: "pegasus-suite-" });
    const config = `${dir}/settings.toml`;
    Deno.writeTextFileSync(config, settings.map((line) => `${line}\n`).join(""));
    const cluster = new SuiteCluster(dir);
    const place = ["--dir", `${dir}/onebox`, "--port-base", "0", "--config", config];
    try {
      await task(["onebox", "start", "--detach", ...place, ...flags]);
      await cluster.#findHttp();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** "host:port" of its meta server. */
  get meta(): string {
    return this.#servers("meta")[0]!.address;
  }

  /** Runs a line. @param scale Factor of its operations. @throws {Error} If operations failed. */
  async run(line: Line, scale: number): Promise<Result> {
    const out = `${this.#dir}/result.json`;
    const scaled = (count: number) => String(Math.max(OPERATIONS_MIN, Math.round(count * scale)));
    const { workload, records, operations, warmUp = 0, flags = [] } = line;
    await task([
      "bench",
      ...["--meta", this.meta, "--workload", workload, "--records", String(records)],
      ...["--operations", scaled(operations), "--out", out, ...flags],
      ...(warmUp === 0 ? [] : ["--warm-up", scaled(warmUp)]),
    ]);
    return JSON.parse(Deno.readTextFileSync(out));
  }

  /** What the servers of a role say of themselves, in their order. */
  samples(role: "meta" | "replica"): Promise<Sample[]> {
    return Promise.all(
      this.#servers(role).map(async ({ name }) => {
        const answer = await fetch(`http://127.0.0.1:${this.#httpPorts.get(name)}/metrics`);
        return parseSample(await answer.text());
      }),
    );
  }

  /** Stops the servers and removes their data. */
  stop(): Promise<void> {
    // Whoever is interrupted stops what its chapter is about to stop.
    return this.#stopping ??= this.#stop();
  }

  async #stop(): Promise<void> {
    if (readState(`${this.#dir}/onebox`) !== undefined) {
      await task(["onebox", "stop", "--dir", `${this.#dir}/onebox`]);
    }
    Deno.removeSync(this.#dir, { recursive: true });
    SuiteCluster.#running.delete(this);
  }

  async #findHttp(): Promise<void> {
    const probe = new Probe("onebox", [this.meta]);
    try {
      for (const { name, address } of [...this.#servers("meta"), ...this.#servers("replica")]) {
        this.#httpPorts.set(name, await probe.httpPort(address));
      }
    } finally {
      await probe.close();
    }
  }

  #servers(role: string) {
    const servers = readState(`${this.#dir}/onebox`)?.servers ?? [];
    return servers.filter((server) => server.role === role);
  }
}

/** The command that runs, if any. */
let child: Deno.ChildProcess | undefined;

async function task(args: readonly string[]): Promise<void> {
  child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const { code, stdout, stderr } = await child.output();
  child = undefined;
  if (code === 0) return;
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("").trim();
  throw new Error(`deno task ${args.join(" ")}\nended with ${code}:\n${said}`);
}
