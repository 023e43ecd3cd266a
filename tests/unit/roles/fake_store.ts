// A replica's store in memory that remembers what was asked of it, for tests of drivers and hosts.

import { tableInfo } from "../../table_info.ts";
import type { PartitionId } from "../../../src/base/ids.ts";
import type { AppendRecord } from "../../../src/replication/io.ts";
import type { Engine } from "../../../storage/engine.ts";
import { type LogRecord, RecordKind } from "../../../storage/log.ts";
import type { ReplicaStore, StagedGeneration } from "../../../roles/replica/replica_store.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

/** Logs every call; `gate` holds a manifest commit back. */
export class FakeStore implements ReplicaStore {
  readonly partition: PartitionId;
  readonly firstDecree = 1;
  readonly table = tableInfo();
  engine: Engine = new MemoryEngine();
  generation = 1;
  sequence = 0;
  gate: Promise<void> = Promise.resolve();
  readonly calls: string[] = [];

  constructor(partition: PartitionId) {
    this.partition = partition;
  }

  append(record: AppendRecord): LogRecord {
    const decree = record.kind === "mutation" ? record.decree : 0;
    const kind = record.kind === "mutation" ? RecordKind.MUTATION : RecordKind.BALLOT;
    const payload = record.kind === "mutation" ? record.payload : new Uint8Array(16);
    const sequence = ++this.sequence;
    return {
      partition: this.partition,
      generation: this.generation,
      sequence,
      kind,
      decree,
      payload,
    };
  }
  writeLog(): void {}
  async syncLog(): Promise<void> {}
  covered(): number {
    return 0;
  }
  async readMutations(): Promise<Uint8Array[] | undefined> {
    return undefined;
  }
  async checkpoint(at: { decree: number }): Promise<boolean> {
    this.calls.push(`checkpoint ${at.decree}`);
    return true;
  }
  describe(): void {}
  async measure(): Promise<number> {
    return 1;
  }
  async stage(): Promise<StagedGeneration> {
    const engine = new MemoryEngine();
    this.calls.push("stage");
    return {
      engine,
      commit: async (ballot, durable) => {
        this.calls.push(`commit ${ballot} ${durable}`);
        await this.gate;
      },
      activate: () => {
        this.calls.push("activate");
        this.engine = engine;
        this.generation++;
        this.sequence = 0;
      },
      discard: async () => {
        this.calls.push("discard");
      },
    };
  }
  async close(): Promise<void> {
    this.calls.push("close");
    await this.engine.close();
  }
}
