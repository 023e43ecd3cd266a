// Redis for a comparison: one process without persistence, which is Redis at its fastest, or a primary with two
// replicas that all append every write to a synced file, which is Redis at its safest.

import { freePorts, PeerGroup, type PeerProcesses, versionOf, waitUntil } from "./processes.ts";
import { RespClient } from "./resp_client.ts";

/** How the servers of a comparison stand: one of them, or a group that holds every write three times. */
export type PeerSetup = "single" | "replicated";

const PACKAGE = "redis-server";
const REPLICAS = 2;

/** Starts Redis. @throws {Error} If it is not installed, does not come up, or `signal` fires before it is. */
export async function startRedis(setup: PeerSetup, signal?: AbortSignal): Promise<PeerProcesses> {
  const group = new PeerGroup("redis");
  const version = versionOf("redis-server", ["--version"], /v=(\S+)/);
  try {
    const ports = await freePorts(setup === "single" ? 1 : 1 + REPLICAS);
    const addresses = ports.map((port) => `127.0.0.1:${port}`);
    ports.forEach((port, i) => {
      const dir = `${group.dir}/${i}`;
      Deno.mkdirSync(dir);
      const args = ["--bind", "127.0.0.1", "--port", String(port), "--dir", dir, "--save", ""];
      const durable = ["--appendonly", "yes", "--appendfsync", "always"];
      if (setup === "replicated") args.push(...durable);
      args.push("--repl-diskless-sync-delay", "0");
      if (i > 0) args.push("--replicaof", "127.0.0.1", String(ports[0]));
      group.start("redis-server", args, PACKAGE);
    });
    await waitUntil("Redis", () => isReady(addresses[0]!, setup), signal);
    const description = setup === "single"
      ? `redis ${version}, one process, no persistence`
      : `redis ${version}, primary and 2 replicas, appendfsync always, WAIT 2 after every write`;
    return { addresses, description, stop: () => group.stop() };
  } catch (error) {
    await group.stop();
    throw error;
  }
}

async function isReady(address: string, setup: PeerSetup): Promise<boolean> {
  const client = await RespClient.connect(address);
  try {
    const info = await client.command("INFO", "replication");
    const text = new TextDecoder().decode(info as Uint8Array);
    const online = [...text.matchAll(/^slave\d+:.*state=online/gm)].length;
    return online === (setup === "single" ? 0 : REPLICAS);
  } finally {
    client.close();
  }
}
