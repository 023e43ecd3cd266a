// etcd for a comparison: one member, or three. Both sync every write before they answer.

import { EtcdClient } from "./etcd_client.ts";
import { freePorts, PeerGroup, type PeerProcesses, versionOf, waitUntil } from "./processes.ts";
import type { PeerSetup } from "./redis_servers.ts";

const PACKAGE = "etcd-server";

/** Starts etcd. @throws {Error} If it is not installed, does not come up, or `signal` fires before it is. */
export async function startEtcd(setup: PeerSetup, signal?: AbortSignal): Promise<PeerProcesses> {
  const group = new PeerGroup("etcd");
  const version = versionOf("etcd", ["--version"], /etcd Version: (\S+)/);
  try {
    const count = setup === "single" ? 1 : 3;
    const ports = await freePorts(2 * count);
    const members = Array.from({ length: count }, (_, i) => ({
      name: `e${i}`,
      client: `127.0.0.1:${ports[2 * i]}`,
      peer: `http://127.0.0.1:${ports[2 * i + 1]}`,
    }));
    const all = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
    for (const { name, client, peer } of members) {
      const url = `http://${client}`;
      group.start("etcd", [
        ...["--name", name, "--data-dir", `${group.dir}/${name}`, "--log-level", "error"],
        ...["--listen-client-urls", url, "--advertise-client-urls", url],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", all, "--initial-cluster-state", "new"],
      ], PACKAGE);
    }
    const addresses = members.map(({ client }) => client);
    await waitUntil("etcd", () => isReady(addresses), signal);
    const size = setup === "single" ? "one member" : "3 members";
    return {
      addresses,
      description: `etcd ${version}, ${size}, every write synced`,
      stop: () => group.stop(),
    };
  } catch (error) {
    await group.stop();
    throw error;
  }
}

async function isReady(addresses: readonly string[]): Promise<boolean> {
  for (const address of addresses) {
    const client = new EtcdClient(address);
    try {
      await client.put("ready", new Uint8Array(1));
    } finally {
      client.close();
    }
  }
  return true;
}
