// A onebox in the foreground, with signals and a cluster of the test's own.

import assert from "node:assert/strict";
import { runForeground } from "../../../roles/onebox/supervise.ts";
import { planServers } from "../../../roles/onebox/state.ts";

function fakeCluster() {
  const dir = Deno.makeTempDirSync();
  const servers = planServers(1, 1, 34601).map((entry) => ({ ...entry, pid: 1 }));
  const [stopping, stopped] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const calls: string[] = [];
  const cluster = {
    dir,
    state: { version: 1 as const, servers },
    plan() {},
    isRunning: () => true,
    stopAll() {
      calls.push("stop");
      stopping.resolve();
      return stopped.promise;
    },
    killAll() {
      calls.push("kill");
      return Promise.resolve();
    },
  };
  return { cluster, servers, calls, stopping: stopping.promise, stopped };
}

function fakeTerminal() {
  const exited = Promise.withResolvers<number>();
  let signal = () => {};
  const onSignal = (handler: () => void) => {
    signal = handler;
    return () => {};
  };
  return {
    hooks: { onSignal, exit: exited.resolve },
    exited: exited.promise,
    signal: () => signal(),
  };
}

Deno.test("A signal in the foreground stops everything once, and the end waits for it", async () => {
  const { cluster, servers, calls, stopping, stopped } = fakeCluster();
  const { hooks, signal } = fakeTerminal();
  const foreground = runForeground(cluster, hooks);
  let code = -1;
  const ended = foreground.untilStopped(servers).then((given) => code = given);
  signal();
  assert(foreground.isInterrupted());
  await stopping;
  assert.equal(code, -1);
  stopped.resolve();
  assert.equal(await ended, 0);
  assert.deepEqual(calls, ["stop"]);
  Deno.removeSync(cluster.dir, { recursive: true });
});

Deno.test("A signal while servers start stops nothing behind the back of who starts them", () => {
  const { cluster, calls } = fakeCluster();
  const { hooks, signal } = fakeTerminal();
  const foreground = runForeground(cluster, hooks);
  signal();
  assert(foreground.isInterrupted());
  assert.deepEqual(calls, []);
  Deno.removeSync(cluster.dir, { recursive: true });
});

Deno.test("A second signal in the foreground kills everything and ends with 130", async () => {
  const { cluster, servers, calls, stopping, stopped } = fakeCluster();
  const { hooks, exited, signal } = fakeTerminal();
  const ended = runForeground(cluster, hooks).untilStopped(servers);
  signal();
  await stopping;
  signal();
  assert.equal(await exited, 130);
  stopped.resolve();
  assert.equal(await ended, 130);
  assert.deepEqual(calls, ["stop", "kill"]);
  Deno.removeSync(cluster.dir, { recursive: true });
});

Deno.test("A stop that fails in the foreground is an error, and no fault of the process", async () => {
  const { cluster, servers, stopping, stopped } = fakeCluster();
  const { hooks, signal } = fakeTerminal();
  const ended = runForeground(cluster, hooks).untilStopped(servers);
  signal();
  await stopping;
  stopped.reject(new Error("unreadable"));
  await assert.rejects(ended, /unreadable/);
  Deno.removeSync(cluster.dir, { recursive: true });
});
