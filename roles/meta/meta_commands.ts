// Maintenance commands of a meta server, for `remote_command` of the shell.

import { formatPartition } from "../../src/base/ids.ts";
import type { MetaCore } from "../../src/placement/meta.ts";
import type { RemoteCommands } from "../remote_commands.ts";

/** Commands about the core. */
export function coreCommands(core: MetaCore): RemoteCommands {
  return {
    "server-state": {
      brief: "Standby, loading or leading",
      run: () => core.role,
    },
    proposals: {
      brief: "Partitions on their way to another configuration, or stuck",
      run: () => proposalsOf(core),
    },
  };
}

/** One line per partition that is on its way somewhere, or cannot go anywhere. */
function proposalsOf(core: MetaCore): string {
  const lines: string[] = [];
  for (const table of core.reign?.cluster.tables.values() ?? []) {
    for (const { partition, actions, inFlight, stuck } of table.partitions) {
      const name = formatPartition(partition);
      if (inFlight !== undefined) lines.push(`${name} storing ${inFlight.change} ${inFlight.node}`);
      else if (actions[0] !== undefined) {
        const { change, node, target, source } = actions[0];
        lines.push(`${name} ${source} asks ${target}: ${change} ${node}`);
      } else if (stuck !== "") lines.push(`${name} stuck: ${stuck}`);
    }
  }
  return lines.join("\n");
}
