// What a replica's directory says of its table.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import type { TableInfo } from "../../../src/schema/types.ts";
import type { Manifest } from "../../../storage/replica_dir.ts";
import {
  describeTable,
  imageBallotOf,
  tableOfManifest,
} from "../../../roles/replica/stored_info.ts";

const TABLE: TableInfo = {
  ...{ tableId: 7, name: "t", status: "dropped", partitionCount: 4, maxReplicaCount: 2 },
  ...{ envs: new Map([["default_ttl", "5"]]), createdAt: 1, droppedAt: 2, expiresAt: 3 },
  revision: 9,
};

function manifest(values: Partial<Manifest>): Manifest {
  const numbers = { generation: 1, ballot: 0, durable: 0, syncedSequence: 0, partitionCount: 4 };
  return {
    partition: partitionId(7, 1),
    tableName: "t",
    info: {},
    copies: 0,
    ...numbers,
    ...values,
  };
}

Deno.test("tableOfManifest gives back the whole table, as JSON keeps it", () => {
  const described = describeTable(TABLE, 6);
  const info: unknown = JSON.parse(JSON.stringify(described.info));
  assert.deepEqual(tableOfManifest(manifest({ ...described, info })), TABLE);
  assert.equal(imageBallotOf(info), 6);
});

Deno.test("tableOfManifest makes do with what an older or a newer version wrote", () => {
  const old = tableOfManifest(manifest({ info: { maxReplicaCount: 2, tableName: "t" } }));
  assert.deepEqual([old.name, old.partitionCount, old.maxReplicaCount], ["t", 4, 2]);
  assert.deepEqual([old.createdAt, old.revision], [0, 0]);
  const newer = tableOfManifest(manifest({ info: { table: { strange: 1 }, maxReplicaCount: 5 } }));
  assert.deepEqual([newer.tableId, newer.name, newer.maxReplicaCount], [7, "t", 5]);
  assert.equal(imageBallotOf(null), 0);
});
