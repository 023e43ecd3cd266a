// The clusters a shell can talk to: the one it talks to now, and the others it knows by name. Names come from a
// file of lines "NAME HOST:PORT,HOST:PORT", `#` begins a comment. An address list does wherever a name does.

import type { Cluster } from "../../src/client/mod.ts";
import { suggestion } from "../../src/config/suggest.ts";

/** Opens a cluster by the addresses of its meta servers. */
export type OpenCluster = (metas: readonly string[]) => Cluster;

/** A known cluster. */
export interface KnownCluster {
  readonly name: string;
  readonly metas: readonly string[];
}

/** See the file comment. */
export class Connections {
  readonly known: readonly KnownCluster[];
  readonly #open: OpenCluster;
  #cluster: Cluster;
  #metas: readonly string[];

  constructor(open: OpenCluster, metas: readonly string[], known: readonly KnownCluster[]) {
    this.#open = open;
    this.known = known;
    this.#metas = metas;
    this.#cluster = open(metas);
  }

  /** The cluster of the next command. */
  get cluster(): Cluster {
    return this.#cluster;
  }

  /** Its meta servers, as given. */
  get metas(): readonly string[] {
    return this.#metas;
  }

  /** Its name in the file, if it has one. */
  get name(): string | undefined {
    return this.known.find(({ metas }) => metas.join() === this.#metas.join())?.name;
  }

  /** Addresses behind a name or an address list. @throws {Error} If it is neither. */
  metasOf(text: string): readonly string[] {
    const found = this.known.find(({ name }) => name === text);
    if (found !== undefined) return found.metas;
    const metas = readAddresses(text);
    if (metas !== undefined) return metas;
    const hint = suggestion(text, this.known.map(({ name }) => name)) ||
      "; name it in the clusters file, or give host:port,host:port";
    throw new Error(`Unknown cluster "${text}"${hint}`);
  }

  /** Another cluster beside the current one; the caller closes it. */
  openOther(text: string): Cluster {
    return this.#open(this.metasOf(text));
  }

  /** Talks to another cluster from now on, if it answers. @throws {StoreError} If it does not. */
  async change(text: string): Promise<void> {
    const metas = this.metasOf(text);
    const next = this.#open(metas);
    try {
      await next.admin.clusterInfo();
    } catch (error) {
      await next.close();
      throw error;
    }
    const before = this.#cluster;
    this.#cluster = next;
    this.#metas = metas;
    await before.close();
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}

/** "host:port,host:port" as a list; `undefined` if it is none. */
export function readAddresses(text: string): string[] | undefined {
  const list = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
  return list.length > 0 && list.every((part) => /^.+:\d{1,5}$/.test(part)) ? list : undefined;
}

/** Clusters of a file. @throws {Error} With the number of a line that is wrong. */
export function readClusters(text: string): KnownCluster[] {
  const known: KnownCluster[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const [name, list, ...rest] = line.replace(/#.*/, "").trim().split(/[\s=]+/);
    if (name === undefined || name === "") continue;
    const metas = readAddresses(list ?? "");
    if (metas === undefined || rest.length > 0) {
      throw new Error(`Line ${index + 1} of the clusters file: expected NAME HOST:PORT,HOST:PORT`);
    }
    known.push({ name, metas });
  }
  return known;
}
