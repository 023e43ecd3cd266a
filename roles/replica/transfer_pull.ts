// A learner's side of copying: pulls an image or a piece of the log from its primary, chunk by chunk, asking
// again for what got lost. Invariant: nothing is used before its checksum and its place in the order are
// right. The serving side is transfer_source.ts; rules: docs/protocol.md, "Learning" (§11).

import { Err, StoreError } from "../../src/base/errors.ts";
import type { Decree, NodeId } from "../../src/base/ids.ts";
import type { RpcClient } from "../../src/rpc/contract.ts";
import { decodeMutation, type Mutation } from "../../src/schema/mutation.ts";
import { LearnFetch } from "../../src/schema/replica_rpc.ts";
import type { RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import type { Engine } from "../../storage/engine.ts";
import { ImageImport } from "../../storage/image.ts";
import type { Pull } from "./driver_host.ts";
import type { FetchTurns } from "./fetch_turns.ts";

/** Where to pull from and in whose name. */
export interface PullOptions {
  readonly client: RpcClient;
  /** "host:port" of the primary's shard. */
  readonly address: string;
  /** Ourselves. */
  readonly node: NodeId;
  readonly pull: Pull;
  /** Shared by all pulls of a shard. */
  readonly turns: FetchTurns;
  /** Resolves after so many ms. */
  readonly pause: (ms: number) => Promise<void>;
  /** Sees the bytes that arrive. */
  readonly received?: (bytes: number) => void;
}

const FETCH_TIMEOUT_MS = 10_000;
const RETRY_PAUSE_MS = 200;
/** Failed attempts in a row after which the copy is given up; the core starts another round later. */
const FAILURES_MAX = 10;

/** Errors after which the same request may succeed. */
const TRANSIENT: ReadonlySet<number> = new Set([
  Err.BUSY,
  Err.TIMEOUT,
  Err.CONNECTION_LOST,
  Err.CONNECT_FAILED,
]);

type Chunk = ResponseOf<typeof LearnFetch>;

/**
 * Copies an image into an empty engine.
 *
 * @returns The decree the image stands for, and the exactly-once window at it.
 * @throws {EngineError} If the own engine fails.
 * @throws {Error} If the source is lost, or the copy was cancelled.
 */
export async function pullImage(
  options: PullOptions,
  engine: Engine,
): Promise<{ decree: Decree; sessions: Uint8Array }> {
  const image = new ImageImport(engine);
  let name = 0;
  let decree = 0;
  let failures = 0;
  for (let position = 0;;) {
    const chunk = await fetchChunk(options, { source: "image", position, image: name });
    if (position === 0) {
      name = chunk.image;
      decree = chunk.decree;
    } else if (chunk.image !== name || chunk.decree !== decree) {
      throw new Error("The primary answered with a chunk of another image");
    }
    const problem = await image.add(chunk.rows, chunk.checksum);
    if (problem !== undefined) {
      failures++;
      if (failures >= FAILURES_MAX) throw new Error(problem);
      continue;
    }
    if (chunk.done) return await image.finish(decree);
    position++;
  }
}

/**
 * Copies logged mutations first..last.
 *
 * @param onChunk Gets consecutive mutations; `done` with the last ones.
 * @throws {Error} If the source is lost, or the copy was cancelled.
 */
export async function pullLog(
  options: PullOptions,
  range: { readonly first: Decree; readonly last: Decree },
  onChunk: (mutations: readonly Mutation[], done: boolean) => void,
): Promise<void> {
  let position = range.first;
  while (position <= range.last) {
    const chunk = await fetchChunk(options, { source: "log", position, image: 0 });
    const mutations: Mutation[] = [];
    for (const bytes of chunk.mutations) {
      const mutation = decodeMutation(bytes);
      if (mutation === undefined || mutation.decree !== position) {
        throw new Error(`The primary's log does not continue at decree ${position}`);
      }
      if (position > range.last) break;
      mutations.push(mutation);
      position++;
    }
    if (mutations.length === 0) throw new Error(`The primary's log ends before ${position}`);
    onChunk(mutations, position > range.last);
  }
}

async function fetchChunk(
  { client, address, node, pull, turns, pause, received }: PullOptions,
  what: Pick<RequestOf<typeof LearnFetch>, "source" | "position" | "image">,
): Promise<Chunk> {
  const request = { partition: pull.partition, from: node, signature: pull.signature, ...what };
  let failures = 0;
  while (!pull.cancelled) {
    try {
      const chunk = await turns.run(address, async () => {
        if (pull.cancelled) return undefined;
        return await client.call(address, LearnFetch, request, FETCH_TIMEOUT_MS);
      });
      if (chunk === undefined || pull.cancelled) break;
      received?.(bytesOf(chunk.rows) + bytesOf(chunk.mutations));
      return chunk;
    } catch (error) {
      if (!(error instanceof StoreError) || !TRANSIENT.has(error.code)) throw error;
      failures++;
      if (failures >= FAILURES_MAX) throw error;
    }
    await pause(RETRY_PAUSE_MS);
  }
  throw new Error("The copy was cancelled");
}

function bytesOf(items: readonly Uint8Array[]): number {
  return items.reduce((sum, { length }) => sum + length, 0);
}
