// Maintenance commands of a process: what they answer, and what they say to wrong words.

import assert from "node:assert/strict";
import { serverCommands } from "../../../roles/replica/remote_commands.ts";
import type { ServerDriver } from "../../../roles/replica/server_driver.ts";
import { processCommands, runRemote } from "../../../roles/remote_commands.ts";
import { VERSION } from "../../../roles/version.ts";
import { LiveSettings } from "../../../src/config/live.ts";
import { loadSettings } from "../../../src/config/load.ts";
import type { ServerRole } from "../../../src/config/group.ts";

function commandsOf(role: ServerRole) {
  const loaded = loadSettings(role, [], () => "");
  assert.ok(loaded.kind === "settings");
  const live = new LiveSettings(role, loaded.settings);
  const metricsText = () => Promise.resolve('# HELP a A\na{x="1"} 2\nb 3\n');
  const commands = processCommands({ role, live, metricsText });
  return (name: string, ...words: string[]) => runRemote(commands, name, words);
}

Deno.test("maintenance commands show and change settings, by our names and the original's", async () => {
  const run = commandsOf("meta");
  assert.equal(await run("version"), VERSION);
  assert.match(await run("config"), /^cluster = onebox$/m);
  assert.equal(JSON.parse(await run("config", "cure-interval")).value, "1s");
  assert.equal(await run("config-set", "cure-interval", "2s"), "cure-interval = 2s, it was 1s");
  assert.equal(await run("meta.live_percentage"), "50");
  assert.equal(await run("meta.live_percentage", "60"), "alive-percent-min = 60, it was 50");
  assert.equal(await run("reset-log-start-level", "debug"), "log-level = debug, it was info");
  assert.match(await run("server-stat"), /^memory \d+ MiB, .* processor [\d.]+ s, up \d+ s$/);
  assert.equal(await run("metrics"), 'a{x="1"} 2\nb 3');
  assert.equal(await run("metrics", "b"), "b 3");
});

Deno.test("maintenance commands say what was wrong and list what there is", async () => {
  const run = commandsOf("replica");
  await assert.rejects(run("verson"), /Unknown command "verson"; did you mean "version"\?/);
  await assert.rejects(run("meta.dump"), /Unknown command "meta.dump"; instead: meta_export in/);
  assert.equal(await run("config-dump"), await run("config"));
  await assert.rejects(run("config", "nope"), /Unknown setting "nope"/);
  await assert.rejects(run("config-set", "listen", "x"), /takes effect only at a start/);
  await assert.rejects(run("config-set", "log-level"), /Expected config-set NAME VALUE/);
  await assert.rejects(run("meta.live_percentage"), /Unknown command/, "a setting of meta servers");
  const help = await run("help");
  assert.match(help, /^config \[NAME\] +Settings and their values$/m);
  assert.deepEqual(help.split("\n"), help.split("\n").toSorted());
});

Deno.test("a replica server names the commands of its process and of its shards", async () => {
  const shard = (name: string) =>
    runRemote({ compact: { brief: "Compacts", run: () => "done" } }, name, []);
  const control = { state: "connected", leader: "m1:1" } as unknown as ServerDriver;
  const process = { version: { brief: "Version", run: () => "1" } };
  const run = serverCommands([shard, shard], control, process);
  assert.equal(await run("compact", []), "shard 0: done\nshard 1: done");
  assert.equal(await run("server-state", []), "connected, meta leader m1:1");
  await assert.rejects(run("nope", []), /expected one of compact, help, server-state, version/);
  await assert.rejects(run("versio", []), /did you mean "version"/);
  assert.equal((await run("help", [])).split("\n").length, 4);
});
