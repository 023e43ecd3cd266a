// What a onebox says once it serves: where everything is and how to go on.

import type { LocalCluster } from "./local_cluster.ts";
import type { Probe } from "./probe.ts";
import { selfName } from "./processes.ts";
import { securedAs, shellFlags } from "./secured.ts";

/** Where a browser finds the dashboard; "" if the servers do not answer HTTP. */
export async function dashboardOf(probe: Probe, cluster: LocalCluster): Promise<string> {
  const [meta = ""] = cluster.metas;
  const port = await probe.httpPort(meta);
  const scheme = securedAs(cluster.dir).tls ? "https" : "http";
  return port === 0 ? "" : `${scheme}://${meta.replace(/\d+$/, String(port))}/`;
}

/** The text. */
export function greeting(
  cluster: LocalCluster,
  options: { readonly dir: string; readonly detach: boolean; readonly given: ReadonlySet<string> },
  table: { readonly name: string; readonly partitionCount: number },
  { seconds, dashboard }: { readonly seconds: string; readonly dashboard: string },
): string {
  const metas = cluster.metas.join(",");
  const flag = (metas === "127.0.0.1:34601" ? "" : ` --meta ${metas}`) + shellFlags(options.dir);
  const where = options.given.has("dir") ? ` --dir ${options.dir}` : "";
  const self = selfName();
  return [
    `The cluster serves (${seconds} s): meta ${metas}, replica servers ${
      cluster.replicas.join(", ")
    }`,
    `Table "${table.name}" has ${table.partitionCount} partitions. Data and logs: ${options.dir}`,
    "",
    options.detach ? "Connect:" : "Connect from another terminal:",
    `  ${self} shell${flag}`,
    `  ${self} shell${flag} -e "use ${table.name}; set h s v; get h s"`,
    ...(dashboard === "" ? [] : [`Look at it in a browser: ${dashboard}`]),
    "",
    options.detach ? `Stop it: ${self} onebox stop${where}` : "Ctrl-C stops it; the data stays.",
  ].join("\n");
}
