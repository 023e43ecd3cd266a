// `pegasus meta --export FILE` and `--import FILE`: the state of meta out of a store and into another one, while
// no meta server runs on it. See docs/meta.md, "Export and import".

import { loadSettings } from "../src/config/load.ts";
import type { Settings } from "../src/config/settings.ts";
import { CLUSTER_PATH } from "../src/placement/stored.ts";
import { openCoordinator } from "./meta_store.ts";
import { decodeState, encodeState } from "./meta/state_file.ts";
import { readStableTree, writeTree } from "./meta/state_tree.ts";

/** What is asked for. */
export interface StateAction {
  readonly kind: "export" | "import";
  readonly file: string;
  /** The flags that are settings. */
  readonly rest: readonly string[];
}

/** The flag --export or --import among the words of a meta server; `undefined` if there is none. */
export function stateAction(args: readonly string[]): StateAction | undefined {
  for (const [index, word] of args.entries()) {
    const match = /^--(export|import)(?:=(.*))?$/.exec(word);
    if (match === null) continue;
    const next = args[index + 1] ?? "";
    // A flag that follows is no file: the file was left out.
    const isNext = match[2] === undefined && !next.startsWith("-");
    const file = isNext ? next : match[2] ?? "";
    const rest = args.filter((_, at) => at !== index && !(isNext && at === index + 1));
    return { kind: match[1] as StateAction["kind"], file, rest };
  }
  return undefined;
}

/** Does it. @returns The exit code */
export async function runStateAction({ kind, file, rest }: StateAction): Promise<number> {
  const loaded = loadSettings("meta", rest, Deno.readTextFileSync);
  if (loaded.kind !== "settings" || file === "") {
    const problems = loaded.kind === "invalid"
      ? loaded.problems
      : [`Flag "--${kind}" needs a file: write --${kind}=FILE`];
    for (const problem of problems) console.error(problem);
    return 2;
  }
  try {
    const run = kind === "export" ? exportTo : importFrom;
    console.log(await run(loaded.settings, file));
    return 0;
  } catch (error) {
    console.error(`Cannot ${kind}: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

async function exportTo(settings: Settings, file: string): Promise<string> {
  const coordinator = await openCoordinator(settings, () => {});
  try {
    const nodes = await readStableTree(coordinator);
    if (!nodes.some(({ path }) => path === CLUSTER_PATH)) {
      throw new Error(`${coordinator.description} holds no state of a cluster`);
    }
    const exportedAt = new Date().toISOString();
    const text = encodeState({ cluster: settings.process.cluster, exportedAt, nodes });
    // It holds the verifiers of users' passwords.
    Deno.writeTextFileSync(file, text, { mode: 0o600, createNew: true });
    return `Wrote ${nodes.length} nodes of ${coordinator.description} to "${file}"`;
  } finally {
    await coordinator.close();
  }
}

async function importFrom(settings: Settings, file: string): Promise<string> {
  const { cluster, exportedAt, nodes } = decodeState(Deno.readTextFileSync(file));
  const own = settings.process.cluster;
  if (cluster !== own) {
    throw new Error(`"${file}" is of cluster "${cluster}", not "${own}"; see --cluster`);
  }
  const coordinator = await openCoordinator(settings, () => {});
  try {
    await writeTree(coordinator, own, nodes);
    return `Wrote ${nodes.length} nodes of ${exportedAt} into ${coordinator.description}`;
  } finally {
    await coordinator.close();
  }
}
