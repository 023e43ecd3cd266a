// A onebox in the foreground: tells when a server dies, does not restart it (that is for whoever tries
// out a failure), and stops everything on Ctrl-C.

import type { LocalCluster } from "./local_cluster.ts";
import { lockDirectory } from "./lock.ts";
import { pathsOf } from "./processes.ts";
import type { ServerEntry } from "./state.ts";

// One look costs 2 ms per server.
const LOOK_MS = 500;

/** A onebox that stays with its terminal. */
export interface Foreground {
  /** Whether Ctrl-C came. */
  isInterrupted(): boolean;
  /** Watches `servers` until Ctrl-C, or until another command stopped everything. @returns The exit code. */
  untilStopped(servers: readonly ServerEntry[]): Promise<number>;
}

/** Ctrl-C, a request to end, and the terminal that went away. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What it does with its cluster. */
type Supervised = Pick<
  LocalCluster,
  "dir" | "state" | "plan" | "isRunning" | "stopAll" | "killAll"
>;

/** What it needs from the runtime; tests pass their own. */
export interface TerminalHooks {
  /** Calls `handler` for each of {@link SIGNALS}. @returns Ends that. */
  onSignal(handler: () => void): () => void;
  exit(code: number): void;
}

const DENO_HOOKS: TerminalHooks = {
  onSignal: (handler) => {
    for (const signal of SIGNALS) Deno.addSignalListener(signal, handler);
    return () => {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, handler);
    };
  },
  exit: (code) => Deno.exit(code),
};

/**
 * Takes over {@link SIGNALS}. After the first one whoever starts the servers or watches them stops them, in order and
 * once: nothing is stopped here, while the same servers may be starting. A second signal kills them instead.
 */
export function runForeground(cluster: Supervised, hooks = DENO_HOOKS): Foreground {
  let interrupts = 0;
  const interrupted = Promise.withResolvers<void>();
  let killing: Promise<void> | undefined;
  const forget = hooks.onSignal(() => {
    interrupts++;
    interrupted.resolve();
    if (interrupts === 1) return say("\nStopping; press Ctrl-C again to kill");
    // The servers run in sessions of their own and have not seen the signal.
    killing ??= cluster.killAll().catch((error) => say(`Cannot kill all servers: ${error}`))
      .finally(() => hooks.exit(130));
  });
  return {
    isInterrupted: () => interrupts > 0,
    untilStopped: async (servers) => {
      await watch(cluster, servers, interrupted.promise, () => interrupts > 0);
      if (interrupts > 0) await stopAlone(cluster);
      await killing;
      forget();
      say("Stopped; the data stays");
      return killing === undefined ? 0 : 130;
    },
  };
}

/** Stops all servers, and lets another command that starts one end first. */
async function stopAlone(cluster: Supervised): Promise<void> {
  // Without the lock, which a full disk may refuse, they are stopped all the same.
  const lock = await lockDirectory(cluster.dir, "start", say).catch(() => undefined);
  try {
    await cluster.stopAll();
  } finally {
    lock?.[Symbol.dispose]();
  }
}

async function watch(
  cluster: Supervised,
  started: readonly ServerEntry[],
  interrupted: Promise<void>,
  isInterrupted: () => boolean,
): Promise<void> {
  const seen = new Map<string, string>();
  let known = started;
  for (;;) {
    const { servers } = cluster.state;
    if (servers.length === 0 && known.length > 0) {
      // Somebody removed the directory. Without the file nobody could ever stop the servers.
      console.error(
        `The state in "${cluster.dir}" was removed while the servers run; wrote it again`,
      );
      cluster.plan(known);
      continue;
    }
    known = servers;
    if (isInterrupted() || servers.every(({ pid }) => pid === 0)) return;
    for (const entry of servers) {
      const { name, pid } = entry;
      const now = pid === 0 ? "stopped" : cluster.isRunning(entry) ? "running" : `died ${pid}`;
      const before = seen.get(name);
      seen.set(name, now);
      if (before === undefined ? !now.startsWith("died") : before === now) continue;
      if (now === "running") console.log(`${name} runs again (pid ${pid})`);
      else if (now === "stopped") console.log(`${name} was stopped or killed by a command`);
      else {
        const { outputFile } = pathsOf(cluster.dir, name);
        console.error(
          `${name} died (pid ${pid}); its log: ${outputFile}; start it: onebox start-one ${name}`,
        );
      }
    }
    const pause = Promise.withResolvers<void>();
    const timer = setTimeout(pause.resolve, LOOK_MS);
    await Promise.race([pause.promise, interrupted]);
    clearTimeout(timer);
  }
}

/** Prints a line, if anybody still listens. */
function say(line: string): void {
  try {
    console.log(line);
  } catch {
    // The terminal is gone; that is why the cluster stops.
  }
}
