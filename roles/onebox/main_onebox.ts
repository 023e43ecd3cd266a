// `pegasus onebox`: a whole cluster on this machine, for trying out and for development. Real processes,
// the same as in production; their data survives stop and start. docs/ARCHITECTURE.md tells what runs.

import type { AnySetting } from "../../src/config/field.ts";
import { readFlags } from "../../src/config/flags.ts";
import { flagLines } from "../../src/config/help.ts";
import { COORDINATOR } from "../../src/config/meta_settings.ts";
import { suggestion } from "../../src/config/suggest.ts";
import { LocalCluster } from "./local_cluster.ts";
import { lockDirectory } from "./lock.ts";
import { FLAGS, type Options, readOptions } from "./options.ts";
import { pathsOf } from "./processes.ts";
import { dashboardOf, greeting } from "./greeting.ts";
import { Probe } from "./probe.ts";
import { recoverStore, waitForServers } from "./recover.ts";
import { ensureAdmin, ownDial, removeSecurity, secure, securityFlags } from "./secured.ts";
import { nameOf, planServers, readState, type ServerEntry } from "./state.ts";
import { type Foreground, runForeground } from "./supervise.ts";

interface Command {
  readonly brief: string;
  /** Words it takes: "<n>" or "". */
  readonly argument: string;
  readonly run: (options: Options, argument: string) => Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  start: { brief: "Start and stay; Ctrl-C stops all (default)", argument: "", run: start },
  stop: { brief: "Stop all servers; the data stays", argument: "", run: alone("stop", stop) },
  status: { brief: "Servers, and what meta says of them", argument: "", run: status },
  list: { brief: "Servers, their addresses and processes", argument: "", run: list },
  kill: {
    brief: "Kill a server as a crash would: 2 or r2, m1",
    argument: "<n>",
    run: alone("kill", kill),
  },
  "stop-one": {
    brief: "Stop a server as for maintenance",
    argument: "<n>",
    run: alone("stop-one", stopOne),
  },
  "start-one": {
    brief: "Start a server that does not run",
    argument: "<n>",
    run: alone("start-one", startOne),
  },
  recover: {
    brief: "Rebuild meta's lost store from the replica servers",
    argument: "",
    run: alone("recover", recover),
  },
  clear: { brief: "Remove all data of a stopped onebox", argument: "", run: alone("clear", clear) },
};

/** Table every onebox has. */
const TABLE = { name: "temp", partitionCount: 8 };
const CLUSTER = "onebox";
const READY_MS = 60_000;
/** Time in which a server that was started must be seen by meta. */
const SEEN_MS = 20_000;

/** Runs a onebox command. @returns The exit code: 0 done, 1 failed, 2 wrong usage. */
export async function runOnebox(args: readonly string[]): Promise<number> {
  const flags = readFlags(new Map<string, AnySetting>(Object.entries(FLAGS)), args);
  if (flags.help) {
    console.log(oneboxHelp());
    return 0;
  }
  const [name = "start", argument = "", ...rest] = flags.words;
  const problems = [...flags.problems];
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const hint = suggestion(name, Object.keys(COMMANDS)) || "; see --help";
    problems.push(`Unknown onebox command "${name}"${hint}`);
  } else if (command.argument !== "" && argument === "") {
    problems.push(`"${name}" needs the server: write onebox ${name} 2`);
  } else if (rest.length > 0 || (command.argument === "" && argument !== "")) {
    problems.push(`Unexpected word "${command.argument === "" ? argument : rest[0]}"; see --help`);
  }
  const options = readOptions(flags.given, problems);
  if (problems.length > 0 || command === undefined) {
    for (const problem of problems) console.error(problem);
    return 2;
  }
  try {
    return await command.run(options, argument);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

function oneboxHelp(): string {
  const commands = Object.entries(COMMANDS).map(([name, { brief, argument }]) =>
    `  ${`${name} ${argument}`.padEnd(20)} ${brief}`
  );
  return [
    "Runs a whole cluster on this machine",
    "",
    "Usage: pegasus onebox [command] [flags]",
    "",
    "Commands:",
    ...commands,
    "",
    "Flags:",
    ...flagLines(Object.entries<AnySetting>(FLAGS)),
  ].join("\n");
}

function clusterAt(options: Options): LocalCluster {
  const flags = options.config === "" ? [] : [`--config=${options.config}`];
  return new LocalCluster({
    dir: options.dir,
    cluster: CLUSTER,
    flags: {
      meta: flags,
      // Without the flag it is what the file says, or the server's own choice.
      replica: options.given.has("shards") ? [...flags, `--shards=${options.shards}`] : flags,
    },
    flagsOf: (name) => securityFlags(options.dir, name),
    note: (line) => console.error(line),
  });
}

/** The cluster of an existing onebox. @throws {Error} If there is none. */
function existing(options: Options): LocalCluster {
  if (readState(options.dir) !== undefined) return clusterAt(options);
  throw new Error(`There is no onebox in "${options.dir}": start one with "onebox start"`);
}

/** A command that holds the lock of the directory while it runs. */
function alone(name: string, run: Command["run"]): Command["run"] {
  return async (options, argument) => {
    // Where there is no onebox, the lock would make its directory.
    existing(options);
    using _lock = await lockDirectory(options.dir, name);
    return await run(options, argument);
  };
}

/** Holds the lock only until all servers run. */
async function start(options: Options): Promise<number> {
  const cluster = clusterAt(options);
  let foreground: Foreground | undefined;
  const isInterrupted = () => foreground?.isInterrupted() === true;
  let servers: readonly ServerEntry[];
  {
    using _lock = await lockDirectory(options.dir, "start");
    refuseRunning(cluster);
    preparePlan(cluster, options);
    await secure(options.dir, options);
    if (!options.detach) foreground = runForeground(cluster);
    try {
      servers = await bringUp(cluster, options, isInterrupted);
    } catch (error) {
      if (!isInterrupted()) {
        await cluster.stopAll();
        throw error;
      }
      servers = cluster.state.servers;
    }
  }
  return foreground === undefined ? 0 : await foreground.untilStopped(servers);
}

function refuseRunning(cluster: LocalCluster): void {
  const running = cluster.running();
  if (running.length === 0) return;
  throw new Error(
    `A onebox runs in "${cluster.dir}" (${running.join(", ")}): use "onebox status", "onebox ` +
      `start-one" or "onebox stop"`,
  );
}

/** Plans the servers: new ones, or those of the directory and as many more as asked for. */
function preparePlan(cluster: LocalCluster, options: Options): void {
  const old = cluster.state.servers;
  const fresh = planServers(options.metas, options.replicas, options.portBase);
  if (old.length === 0) {
    if (options.metas > 1 && options.coordinator === COORDINATOR.default) {
      throw new Error(
        `Cannot start ${options.metas} meta servers: they need a common ZooKeeper; add ` +
          `--coordinator zookeeper://HOST:PORT/ROOT`,
      );
    }
    return cluster.plan(fresh, options.coordinator);
  }
  refuseOtherMetas(cluster, options);
  const count = old.filter(({ role }) => role === "replica").length;
  if (options.given.has("replicas") && options.replicas < count) {
    throw new Error(
      `The onebox in "${options.dir}" has ${count} replica servers with data: leave out ` +
        `--replicas, or begin anew with "onebox clear"`,
    );
  }
  const base = Number(old.find(({ role }) => role === "meta")?.address.split(":")[1] ?? 0);
  // The same command again is fine, and so are ports of the kernel's choice: they were chosen.
  if (options.portBase !== base && options.portBase !== 0 && options.given.has("port-base")) {
    throw new Error(
      `The onebox in "${options.dir}" keeps its addresses, from port ${base} on: leave out ` +
        `--port-base, or begin anew with "onebox clear"`,
    );
  }
  const more = options.given.has("replicas") ? options.replicas - count : 0;
  const known = new Set(old.map(({ name }) => name));
  const added = planServers(0, count + more, base).filter(({ name }) => !known.has(name));
  cluster.plan([...old.map((entry) => ({ ...entry, pid: 0 })), ...added]);
}

/** @throws {Error} If the meta servers of the directory are not those that are asked for. */
function refuseOtherMetas({ metas, coordinator }: LocalCluster, options: Options): void {
  const { dir, given } = options;
  const other = given.has("metas") && options.metas !== metas.length
    ? `${metas.length} meta servers: leave out --metas`
    : given.has("coordinator") && options.coordinator !== coordinator
    ? `its state in "${coordinator}": leave out --coordinator`
    : "";
  if (other === "") return;
  throw new Error(`The onebox in "${dir}" has ${other}, or begin anew with "onebox clear"`);
}

/** @returns The servers it started. @throws {Error} If they do not serve, or if it was interrupted. */
async function bringUp(
  cluster: LocalCluster,
  options: Options,
  isInterrupted: () => boolean,
): Promise<readonly ServerEntry[]> {
  const began = performance.now();
  await cluster.startAll(isInterrupted);
  const { servers } = cluster.state;
  const nodes = cluster.replicas.length;
  const members = Math.min(3, nodes);
  const probe = new Probe(CLUSTER, cluster.metas, ownDial(options.dir));
  let dashboard: string;
  try {
    await waitForServers(probe, nodes, options.dir, isInterrupted);
    await probe.createTable(TABLE.name, TABLE.partitionCount, members);
    if (!(await probe.waitForTable(TABLE.name, members, READY_MS, isInterrupted))) {
      throw new Error(`Table "${TABLE.name}" does not serve; see the logs in "${options.dir}"`);
    }
    await ensureAdmin(options.dir, cluster.metas);
    dashboard = await dashboardOf(probe, cluster);
  } finally {
    await probe.close();
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (options.json) console.log(JSON.stringify(describe(cluster)));
  else console.log(greeting(cluster, options, TABLE, { seconds, dashboard }));
  return servers;
}

async function stop(options: Options): Promise<number> {
  const cluster = existing(options);
  const running = cluster.running();
  await cluster.stopAll();
  const text = running.length === 0 ? "Nothing was running" : `Stopped ${running.join(", ")}`;
  tell(options, text, describe(cluster));
  return 0;
}

/** Prints what was done: for people, or with --json what there is now, as `list` does. */
function tell({ json }: Options, text: string, value: unknown): void {
  console.log(json ? JSON.stringify(value) : text);
}

function describe(cluster: LocalCluster) {
  return cluster.state.servers.map((entry) => describeServer(cluster, entry));
}

function describeServer(cluster: LocalCluster, entry: ServerEntry) {
  return {
    name: entry.name,
    role: entry.role,
    address: entry.address,
    pid: entry.pid,
    state: cluster.isRunning(entry) ? "running" : entry.pid === 0 ? "stopped" : "dead",
    log: pathsOf(cluster.dir, entry.name).outputFile,
  };
}

function list(options: Options): Promise<number> {
  const servers = describe(existing(options));
  if (options.json) console.log(JSON.stringify(servers));
  else for (const line of table(servers)) console.log(line);
  return Promise.resolve(0);
}

function table(servers: ReturnType<typeof describe>): string[] {
  return servers.map(({ name, role, address, pid, state }) =>
    [name.padEnd(4), role.padEnd(8), address.padEnd(22), String(pid || "-").padEnd(8), state].join(
      " ",
    )
  );
}

/** Exit code 0 only if every server runs and meta sees all replica servers alive. */
async function status(options: Options): Promise<number> {
  const cluster = existing(options);
  const servers = describe(cluster);
  const probe = new Probe(CLUSTER, cluster.metas, ownDial(options.dir));
  const view = await probe.look().catch((error: Error) => error).finally(() => probe.close());
  if (options.json) {
    const seen = view instanceof Error ? { error: view.message } : view;
    console.log(JSON.stringify({ servers, cluster: seen }));
  } else {
    for (const line of table(servers)) console.log(line);
    if (view instanceof Error) console.log(`meta does not answer: ${view.message}`);
    else {
      console.log(`meta sees ${view.nodesAlive} of ${view.nodesKnown} replica servers alive`);
      for (const { name, partitionCount, healthy } of view.tables) {
        console.log(`table ${name}: ${healthy} of ${partitionCount} partitions healthy`);
      }
    }
  }
  const isWhole = servers.every(({ state }) => state === "running") &&
    !(view instanceof Error) && view.nodesAlive >= cluster.replicas.length;
  return isWhole ? 0 : 1;
}

/** Starts what does not run, and leaves everything running. */
async function recover(options: Options): Promise<number> {
  const cluster = existing(options);
  await cluster.startAll();
  const dial = ownDial(options.dir);
  const probe = new Probe(CLUSTER, cluster.metas, dial);
  // What goes on is no result.
  const print = (line: string) => options.json ? console.error(line) : console.log(line);
  try {
    const isBack = await recoverStore(cluster, probe, dial, print);
    if (options.json) console.log(JSON.stringify(describe(cluster)));
    return isBack ? 0 : 1;
  } finally {
    await probe.close();
  }
}

async function kill(options: Options, argument: string): Promise<number> {
  const cluster = existing(options);
  const { name, pid } = cluster.entry(nameOf(argument));
  if (!(await cluster.kill(name))) throw new Error(`"${name}" does not run`);
  tell(options, `Killed ${name} (pid ${pid})`, describeServer(cluster, cluster.entry(name)));
  return 0;
}

async function stopOne(options: Options, argument: string): Promise<number> {
  const cluster = existing(options);
  const { name, pid } = cluster.entry(nameOf(argument));
  if (!(await cluster.stop(name))) throw new Error(`"${name}" does not run`);
  tell(options, `Stopped ${name} (pid ${pid})`, describeServer(cluster, cluster.entry(name)));
  return 0;
}

/** Whether meta comes to see all replica servers that run. */
async function isSeen(cluster: LocalCluster): Promise<boolean> {
  const running = cluster.running().filter((name) => name.startsWith("r"));
  const probe = new Probe(CLUSTER, cluster.metas, ownDial(cluster.dir));
  return await probe.waitForNodes(running.length, SEEN_MS).finally(() => probe.close());
}

async function startOne(options: Options, argument: string): Promise<number> {
  const cluster = existing(options);
  const name = nameOf(argument);
  await cluster.start(name);
  const entry = cluster.entry(name);
  const { address, pid, role } = entry;
  tell(options, `Started ${name} at ${address} (pid ${pid})`, describeServer(cluster, entry));
  if (role === "meta" || await isSeen(cluster)) return 0;
  console.error(`Meta does not see it; is meta running? See "onebox status"`);
  return 1;
}

function clear(options: Options): Promise<number> {
  const cluster = existing(options);
  const running = cluster.running();
  if (running.length > 0) {
    throw new Error(`Stop the onebox first: ${running.join(", ")} still run`);
  }
  for (const { name } of cluster.state.servers) {
    try {
      Deno.removeSync(`${options.dir}/${name}`, { recursive: true });
    } catch (error) {
      // A server that was never started has no directory.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const { coordinator } = cluster;
  removeSecurity(options.dir);
  Deno.removeSync(`${options.dir}/onebox.json`);
  const left = `Its tables are still known at ${coordinator}: take another root next time`;
  const text = `Removed the onebox in "${options.dir}"` +
    (coordinator === COORDINATOR.default ? "" : `\n${left}`);
  tell(options, text, { removed: options.dir, coordinator });
  return Promise.resolve(0);
}
