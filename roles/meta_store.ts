// Opens the store that the settings of a meta server name.

import type { Settings } from "../src/config/settings.ts";
import type { Coordinator } from "../src/coordination/coordinator.ts";
import { EmbeddedCoordinator } from "../src/coordination/embedded.ts";
import { ZooKeeperCoordinator } from "../src/coordination/zookeeper.ts";
import type { LogCallback } from "../src/observe/logger.ts";
import { probe } from "../src/rpc/tcp_transport.ts";
import { diskFiles } from "../storage/disk_files.ts";
import { absolutePath } from "./paths.ts";

/** @throws {Error} If the directory of an embedded store is in use or damaged. */
export async function openCoordinator(settings: Settings, log: LogCallback): Promise<Coordinator> {
  const { placement: { fastFailover }, rpc: { connectTimeoutMs } } = settings;
  const { coordinator, dataDir, zookeeperSessionMs } = settings.metaServer;
  if (coordinator === "embedded") {
    const dir = absolutePath(dataDir);
    const onFull = (error: Error) =>
      log("error", "The disk of meta's store is full: changes wait for room", { dir, error });
    return await EmbeddedCoordinator.open({ files: diskFiles, dir, onFull });
  }
  return new ZooKeeperCoordinator({
    address: coordinator,
    sessionMs: zookeeperSessionMs,
    log,
    ...(fastFailover ? { probe: (name) => probe(name, connectTimeoutMs) } : {}),
  });
}
