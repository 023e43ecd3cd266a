// The whole tree of meta's store: read as it was at one moment, written into an empty store. See docs/meta.md,
// "Export and import".

import type { Coordinator, StoredNode, StoreOp } from "../../src/coordination/coordinator.ts";
import { CLUSTER_PATH, clusterMismatch, parsePath } from "../../src/placement/stored.ts";
import type { StateNode } from "./state_file.ts";

/** Nodes read at the same time. */
const PARALLEL = 64;
/** Nodes written in one group. */
const BATCH = 100;
const STABLE_ATTEMPTS = 5;
/** The store must elect this process within this time. */
const ELECTION_MS = 30_000;
/** Whoever leads and is not gone after so long is not going. */
const LEADER_MS = 3000;

/** Every node but the root, parents before their children. */
export async function readTree(coordinator: Coordinator): Promise<StoredNode[]> {
  const nodes: StoredNode[] = [];
  let level = ["/"];
  while (level.length > 0) {
    const next: string[] = [];
    for (let at = 0; at < level.length; at += PARALLEL) {
      const paths = level.slice(at, at + PARALLEL);
      const read = paths.map((path) =>
        Promise.all([coordinator.get(path), coordinator.children(path)])
      );
      for (const [index, [node, names]] of (await Promise.all(read)).entries()) {
        const path = paths[index]!;
        if (node !== undefined && path !== "/") nodes.push(node);
        for (const name of names) next.push(path === "/" ? `/${name}` : `${path}/${name}`);
      }
    }
    level = next;
  }
  return nodes;
}

/**
 * The tree as it was at one moment: two readings in a row that agree in every version.
 *
 * @throws {Error} If it changes all the time.
 */
export async function readStableTree(coordinator: Coordinator): Promise<StoredNode[]> {
  let before = await readTree(coordinator);
  for (let attempt = 0; attempt < STABLE_ATTEMPTS; attempt++) {
    const again = await readTree(coordinator);
    if (versionsOf(before) === versionsOf(again)) return again;
    before = again;
  }
  throw new Error("The state changes all the time: set_meta_level blind stops that");
}

function versionsOf(nodes: readonly StoredNode[]): string {
  return nodes.map(({ path, version }) => `${path} ${version}`).sort().join("\n");
}

/**
 * Writes nodes into a store without tables. Nobody else may lead there. The cluster's own node comes last: a
 * leader refuses what an interrupted import left, and the next import begins anew.
 *
 * @throws {Error} If the store is not empty, belongs to another cluster, or cannot be led.
 */
export async function writeTree(
  coordinator: Coordinator,
  cluster: string,
  nodes: readonly StateNode[],
): Promise<void> {
  const top = nodes.find(({ path }) => path === CLUSTER_PATH);
  if (top === undefined) throw new Error(`The state has no "${CLUSTER_PATH}"`);
  const mismatch = clusterMismatch(top.value, cluster);
  if (mismatch !== undefined) throw new Error(mismatch.replace("The store", "The state"));
  const epoch = await elect(coordinator);
  const old = await readTree(coordinator);
  const isStarted = old.some(({ path }) => path === CLUSTER_PATH);
  const tables = old.filter(({ path }) => parsePath(path).kind === "table").length;
  if (isStarted && tables > 0) {
    throw new Error(`The store holds ${tables} tables: only an empty store takes an import`);
  }
  const removals: StoreOp[] = old
    .toSorted((a, b) => b.path.length - a.path.length)
    .map(({ path, version }) => ({ op: "delete", path, version }));
  const creations: StoreOp[] = nodes
    .filter(({ path }) => path !== CLUSTER_PATH)
    .toSorted((a, b) => a.path.length - b.path.length)
    .map(({ path, value }) => ({ op: "create", path, value }));
  const all: StoreOp[] = [...removals, ...creations, { ...top, op: "create" }];
  for (let at = 0; at < all.length; at += BATCH) {
    await coordinator.multi(all.slice(at, at + BATCH), epoch);
  }
}

function elect(coordinator: Coordinator): Promise<number> {
  return new Promise((resolve, reject) => {
    let leader = "";
    const giveUp = () => {
      const who = leader === "" ? "The store elects nobody" : `Meta server ${leader} leads there`;
      reject(new Error(`${who}: stop all meta servers first`));
    };
    let timer = setTimeout(giveUp, ELECTION_MS);
    coordinator.campaign("import", (event) => {
      if (event.kind === "lost") return;
      clearTimeout(timer);
      if (event.kind === "elected") return resolve(event.epoch);
      leader = event.leader;
      timer = setTimeout(giveUp, leader === "" ? ELECTION_MS : LEADER_MS);
    });
  });
}
