// `pegasus onebox recover`: the store of meta was lost, its tables are rebuilt from the replica servers.
// The same as "recover" of the shell, with the servers started and waited for. docs/meta.md, "Recovery".

import { Cluster } from "../../src/client/mod.ts";
import type { DialSecurity } from "../../src/rpc/security.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import type { LocalCluster } from "./local_cluster.ts";
import { waitFor } from "./processes.ts";
import { ensureAdmin } from "./secured.ts";
import type { Probe } from "./probe.ts";

const READY_MS = 60_000;
const HEALTHY_MS = 60_000;
/** The servers show themselves to meta once a second. */
const SHOWN_MS = 30_000;
const CALL_MS = 5000;

/**
 * Waits until meta sees all replica servers.
 *
 * @param isGivenUp Asked all the time: whether to wait no longer. @default never
 * @throws {Error} If it does not, if it has lost its store, or if it was given up.
 */
export async function waitForServers(
  probe: Probe,
  nodes: number,
  dir: string,
  isGivenUp = () => false,
): Promise<void> {
  let warning = "";
  const isDecided = async () => {
    if (isGivenUp()) return true;
    warning = await probe.warning().catch(() => "");
    return warning !== "" || await probe.waitForNodes(nodes, 0);
  };
  const isThere = await waitFor(isDecided, READY_MS);
  if (isGivenUp()) throw new Error("The servers were not waited for: interrupted");
  if (warning !== "") throw new Error(`${warning}; for this onebox: onebox recover`);
  if (!isThere) throw new Error(`The servers do not find each other; their logs are in "${dir}"`);
}

/**
 * Runs it on a cluster whose servers run.
 *
 * @returns Whether the tables are back.
 */
export async function recoverStore(
  cluster: LocalCluster,
  probe: Probe,
  dial: DialSecurity,
  print: (line: string) => void,
): Promise<boolean> {
  const identity = { cluster: cluster.cluster, node: "", role: "onebox" };
  const client = new Cluster(new TcpRpcClient({ identity, dial }), {
    meta: cluster.metas,
    timeoutMs: CALL_MS,
  });
  try {
    const { admin } = client;
    const isLost = () => probe.warning().then((text) => text !== "", () => false);
    if (!(await waitFor(isLost, SHOWN_MS, 200))) {
      print("Nothing is lost: the replica servers belong to the store of meta");
      return true;
    }
    const { state, detail, lines } = await admin.recover({
      nodes: cluster.replicas,
      onProgress: (step) => print(`${step.state}: ${step.detail}`),
    });
    for (const line of lines) print(line);
    // Users were in the store that is lost.
    if (state === "done") await ensureAdmin(cluster.dir, cluster.metas);
    if (state !== "done") {
      print(detail);
      return false;
    }
    const isHealthy = async () => {
      const { tables } = await probe.look();
      return tables.every(({ partitionCount, healthy }) => healthy === partitionCount);
    };
    const isBack = await waitFor(() => isHealthy().catch(() => false), HEALTHY_MS, 200);
    print(isBack ? "All partitions are healthy" : "Some partitions are not healthy yet");
    return isBack;
  } finally {
    await client.close();
  }
}
