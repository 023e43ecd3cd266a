// The meta half of the fake cluster.

import { Err } from "../../../src/base/errors.ts";
import { parsePartition, partitionId } from "../../../src/base/ids.ts";
import { type FakeCluster, type FakeTable, Refusal, type SeenCall } from "./fake_cluster.ts";

/** Answers one request to meta. */
export function answerMeta(cluster: FakeCluster, { address, name, request }: SeenCall): unknown {
  if (name === "remote_command" && request.command === "estimate-rows") {
    const [partition] = request.args;
    const rows = cluster.partition(parsePartition(partition)!)!.sorted().length;
    // Fakes of many rows are unsure, so that both answers are seen.
    return { output: `shard 0: ${JSON.stringify({ partition, rows, exact: rows < 100 })}` };
  }
  if (address !== cluster.leader) throw new Refusal(Err.FORWARD_TO_OTHERS, cluster.leader);
  const need = (table: FakeTable | undefined): FakeTable => {
    if (table === undefined) throw new Refusal(Err.APP_NOT_EXIST, "No such table");
    return table;
  };
  switch (name) {
    case "query_config":
      return routes(need(cluster.table(request.table)));
    case "create_table": {
      const table = cluster.table(request.name);
      if (table !== undefined && !request.successIfExists) throw new Refusal(Err.APP_EXIST);
      const made = table ?? cluster.addTable(request.name, request.partitionCount);
      for (const [key, value] of request.envs) made.envs.set(key, value);
      return { tableId: made.tableId };
    }
    case "drop_table":
      need(cluster.table(request.name)).status = "dropped";
      return { expiresAt: 1_800_000_000 };
    case "recall_table": {
      const table = need(cluster.tables.find((t) => t.tableId === request.tableId));
      table.status = "available";
      if (request.newName !== "") table.name = request.newName;
      return { table: info(table) };
    }
    case "rename_table":
      need(cluster.table(request.oldName)).name = request.newName;
      return {};
    case "list_tables": {
      const tables = cluster.tables.filter((t) =>
        request.status === undefined || t.status === request.status
      );
      const health = tables.map((t) => ({
        tableId: t.tableId,
        healthy: t.partitions.length,
        unhealthy: 0,
        writeUnhealthy: 0,
        readUnhealthy: 0,
      }));
      return { tables: tables.map(info), health };
    }
    case "update_table_envs": {
      const { envs } = need(cluster.table(request.table));
      if (request.action === "set") { for (const [k, v] of request.set) envs.set(k, v); }
      if (request.action === "delete") { for (const key of request.keys) envs.delete(key); }
      if (request.action === "clear") envs.clear();
      return { envs };
    }
    case "set_max_replica_count": {
      const table = need(cluster.table(request.table));
      const previous = table.replicaCount;
      table.replicaCount = request.maxReplicaCount;
      return { previous };
    }
  }
  return answerCluster(cluster, name, request);
}

// deno-lint-ignore no-explicit-any
function answerCluster(cluster: FakeCluster, name: string, request: any): unknown {
  switch (name) {
    case "list_nodes":
      return { nodes: ["n1:1", "n2:1", "n3:1"].map(node) };
    case "cluster_info":
      return {
        cluster: "fake",
        metaServers: ["m1:1", "m2:1"],
        primaryMeta: cluster.leader,
        coordinator: "embedded:/fake",
        level: "steady",
        details: new Map([["balance_operation_count", "0"]]),
      };
    case "control_meta":
      return { level: request.level ?? "steady", previous: "steady" };
    case "propose":
      return {};
    case "balance": {
      const move = {
        partition: partitionId(1, 3),
        kind: "copySecondary",
        from: "n1:1",
        to: "n2:1",
      };
      return {
        ...{ running: false, waitsFor: "", moving: 0, started: 1, next: [move] },
        ...{ remaining: 1, isMore: false },
      };
    }
    case "drain":
      return { drained: request.drained ? [request.node] : [] };
    case "move_replica":
    case "forget_node":
      return {};
    case "remote_command":
      return { output: `${request.command} ${request.args.join(" ")}` };
  }
  throw new Refusal(Err.HANDLER_NOT_FOUND, name);
}

function routes(table: FakeTable) {
  return {
    tableId: table.tableId,
    partitionCount: table.partitions.length,
    partitions: table.partitions.map((p, index) => ({
      partition: partitionId(table.tableId, index),
      ballot: p.ballot,
      primary: p.primary,
      secondaries: ["n1:1", "n2:1", "n3:1"].filter((n) => n !== p.primary),
      lastDrops: [],
      maxReplicaCount: table.replicaCount,
      committedHint: 0,
    })),
    nodes: ["n1:1", "n2:1", "n3:1"].map((node) => ({ node, shardPorts: [1] })),
  };
}

function info(table: FakeTable) {
  return {
    tableId: table.tableId,
    name: table.name,
    status: table.status,
    partitionCount: table.partitions.length,
    maxReplicaCount: table.replicaCount,
    envs: table.envs,
    createdAt: 1_700_000_000,
    droppedAt: 0,
    expiresAt: 0,
    revision: 0,
  };
}

function node(name: string) {
  return {
    node: name,
    alive: name !== "n3:1",
    incarnation: 1,
    shardPorts: [1],
    httpPort: 8080,
    replicas: 4,
    primaries: 2,
    beaconAgeMs: 120,
    stats: undefined,
    labels: new Map([["zone", "a"]]),
  };
}
