// Which servers a command asks, and how all of them are asked at once. A server that does not answer is a row of the
// answer, not the end of it: such questions are asked when something is wrong.

import { type NodeInfo, StoreError } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import type { Args, Flag } from "../declare.ts";

/** Flags that choose servers; {@link targetsOf} reads them. */
export const TARGET_FLAGS: readonly Flag[] = [
  {
    name: "type",
    short: "t",
    type: "text",
    brief: "Only servers of this kind",
    choices: ["all", "meta-server", "replica-server"],
    default: "all",
  },
  {
    name: "list",
    short: "l",
    type: "node",
    brief: "Only these, host:port with commas between",
  },
];

/** A server to ask. */
export interface Target {
  readonly address: string;
  /** "" = given by address, not yet known. */
  readonly role: "meta" | "replica" | "";
  /** What meta knows of a replica server. */
  readonly node: NodeInfo | undefined;
}

/** The servers that the flags choose; dead ones too. */
export async function targetsOf({ admin }: Context, args: Args): Promise<Target[]> {
  const type = args.text("type") ?? "all";
  const list = args.text("list")?.split(",").map((address) => address.trim()).filter((a) =>
    a !== ""
  );
  if (list !== undefined) {
    const nodes = new Map(
      (await admin.listNodes().catch(() => [])).map((node) => [node.node, node]),
    );
    return list.map((address) => {
      const node = nodes.get(address);
      return { address, role: node === undefined ? "" : "replica", node };
    });
  }
  const metas = type === "replica-server" ? [] : (await admin.clusterInfo()).metaServers;
  const nodes = type === "meta-server" ? [] : await admin.listNodes();
  return [
    ...metas.map((address): Target => ({ address, role: "meta", node: undefined })),
    ...nodes.toSorted((a, b) => a.node < b.node ? -1 : 1)
      .map((node): Target => ({ address: node.node, role: "replica", node })),
  ];
}

/** What one server answered, or why it did not. */
export type Reply<T> =
  | { readonly target: Target; readonly value: T; readonly error: "" }
  | { readonly target: Target; readonly value: undefined; readonly error: string };

/** Asks all of them at once. */
export function askAll<T>(
  targets: readonly Target[],
  ask: (target: Target) => Promise<T>,
): Promise<Reply<T>[]> {
  return Promise.all(targets.map(async (target): Promise<Reply<T>> => {
    try {
      return { target, value: await ask(target), error: "" };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return { target, value: undefined, error: error.message };
    }
  }));
}

/** Lines of a server's output; each of several shards marks its own. */
export function outputLines(output: string): string[] {
  return output.split("\n").map((line) => line.replace(/^shard \d+: /, ""))
    .filter((line) => line !== "");
}
