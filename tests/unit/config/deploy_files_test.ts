// What the files of docs/deploy, the page about them and the image say of ports and times, held against the settings.

import assert from "node:assert/strict";
import { loadSettings } from "../../../src/config/load.ts";
import { shardsOf } from "../../../roles/run_replica.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(`../../../${path}`, import.meta.url));

function settingsOf(role: "meta" | "replica", args: readonly string[]) {
  const loaded = loadSettings(role, args, () => read("docs/deploy/pegasus.toml"));
  assert(loaded.kind === "settings", JSON.stringify(loaded));
  return loaded.settings;
}

/** Ports of a text like "34601,34801-34808" or "34601 34801". */
function portsOf(text: string): Set<number> {
  const ports = new Set<number>();
  for (const part of text.split(/[, ]/)) {
    const [first, last = first] = part.split("-").map(Number);
    for (let port = first!; port <= last!; port++) ports.add(port);
  }
  return ports;
}

/** Ports of the shards a server chooses to have on the largest machine. */
function shardPorts(listen: string, shardPort: number): number[] {
  assert(shardPort > 0, "the kernel chooses the ports of shards");
  const more = Array.from({ length: shardsOf(0, 1024) - 1 }, (_, i) => shardPort + i);
  return [Number(listen.split(":").at(-1)), ...more];
}

Deno.test("The ports of all shards are known to the page and the image", () => {
  const service = read("docs/deploy/pegasus-replica.service");
  const port = /--listen \S+:(\d+)/.exec(service)![1];
  const { shardPort } = settingsOf("replica", ["--config=pegasus.toml"]).replicaServer;
  const ports = shardPorts(`h:${port}`, shardPort);
  const page = read("docs/deploy.md");
  const reserved = portsOf(/ip_local_reserved_ports = ([\d,-]+)/.exec(page)![1]!);
  const exposed = portsOf(/^EXPOSE (.*)$/m.exec(read("Dockerfile"))![1]!);
  for (const port of ports) {
    assert(reserved.has(port), `${port} is not reserved`);
    assert(exposed.has(port), `${port} is not exposed`);
  }
  assert(page.includes(`${ports[0]} to ${ports.at(-1)}`));
  const composed = read("docs/deploy/compose.yaml");
  const replicas = composed.match(/--listen=r\d:34801\n\s+- --shard-port=34802$/gm);
  assert.equal(replicas?.length, 3);
});

Deno.test("Services and containers are killed only after their own time to stop", () => {
  const meta = settingsOf("meta", ["--config=pegasus.toml"]).metaServer.stopTimeoutMs;
  const replica = settingsOf("replica", ["--config=pegasus.toml"]).replicaServer.stopTimeoutMs;
  for (const [role, stopTimeoutMs] of [["meta", meta], ["replica", replica]] as const) {
    const unit = read(`docs/deploy/pegasus-${role}.service`);
    assert(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)![1]) * 1000 > stopTimeoutMs, role);
  }
  const grace = /^ {2}stop_grace_period: (\d+)s$/m.exec(read("docs/deploy/compose.yaml"))![1];
  assert(Number(grace) * 1000 > Math.max(meta, replica));
});
