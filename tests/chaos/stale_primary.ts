// The sharpest question to a lease: a primary is stopped for longer than the grace, its successor changes a row,
// and reads of that row wait in the old primary's open socket when it wakes up. It must refuse every one
// of them, whichever it looks at first, its timers or its socket. Page: docs/testing.md, "Chaos".

import assert from "node:assert/strict";
import { waitFor } from "../../roles/onebox/processes.ts";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { Err, errorName } from "../../src/base/errors.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { Get } from "../../src/schema/client_rpc.ts";
import { encodeKey, partitionIndexOf } from "../../src/schema/key_format.ts";
import { type ChaosCluster, PARTITIONS } from "./cluster.ts";
import { SORT, type Workload } from "./workload.ts";

/** The driver's connection must outlast the stop. */
const PATIENT = { keepAliveMs: 60_000, answerProbeMs: 60_000 };
const READS = 64;
const TAKEOVER_MS = 30_000;
/** The kernel gets so long to take the reads; a slower one only makes the question easier. */
const SENDING_MS = 100;

/** Asks the question. @returns What the old primary answered. @throws {AssertionError} If it served one read. */
export async function askStalePrimary(
  cluster: ChaosCluster,
  { table }: Workload,
  index: number,
): Promise<string> {
  const hashKey = hashKeyIn(index);
  await table.set(hashKey, SORT, "before", { timeoutMs: 30_000 });
  const { partition, primary: old } = (await cluster.configs())[index]!;
  const name = cluster.nameOf(old);
  const identity = { cluster: "chaos", node: "", role: "client" };
  const client = new TcpRpcClient({ identity, settings: PATIENT });
  const key = encodeKey(utf8(hashKey), utf8(SORT));
  const request = { partition, stale: false, stalenessMaxMs: 0, key };
  try {
    const { value } = await client.call(old, Get, request, 5000);
    assert.equal(value && fromUtf8(value), "before");
    cluster.pause(name);
    const answers: { code: number; value: Uint8Array | undefined }[] = [];
    try {
      const isReplaced = async () => {
        const configs = await cluster.configs().catch(() => []);
        const now = configs[index]?.primary ?? old;
        return now !== old && now !== "";
      };
      assert(await waitFor(isReplaced, TAKEOVER_MS), `Nobody took over from ${name}`);
      await table.set(hashKey, SORT, "after", { timeoutMs: 30_000 });
      for (let i = 0; i < READS; i++) {
        client.start(old, Get, request, 60_000, (code, response) => {
          answers.push({ code, value: response?.value });
        });
      }
      await new Promise((resolve) => setTimeout(resolve, SENDING_MS));
    } finally {
      cluster.resume(name);
    }
    assert(await waitFor(() => answers.length === READS, 60_000), "Reads stay without an answer");
    const served = answers.filter(({ code }) => code === Err.OK);
    assert.equal(served.length, 0, `${name} served ${served.length} reads after it was replaced`);
    const codes = [...new Set(answers.map(({ code }) => code))];
    // Refused by the server itself: a lost connection would prove nothing.
    assert(
      codes.includes(Err.INVALID_STATE),
      `All reads failed otherwise: ${codes.map(errorName)}`,
    );
    return `${name} refused ${READS} reads: ${codes.map(errorName).join(", ")}`;
  } finally {
    await client.close();
  }
}

/** A hash key that no other client uses, in the partition of an index. */
function hashKeyIn(index: number): string {
  for (let i = 0;; i++) {
    const key = `stale ${i}`;
    if (partitionIndexOf(utf8(key), utf8(SORT), PARTITIONS) === index) return key;
  }
}
