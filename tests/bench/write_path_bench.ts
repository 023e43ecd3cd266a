// The steps of a set inside a replica server, one by one: the core, the prepare list, the logs' buffer, the rows in
// front of the engine, and LevelDB itself. Each line says how many sets or rows it is for.
// Run: deno bench --allow-read --allow-write --allow-env --allow-ffi --allow-sys tests/bench/write_path_bench.ts

import { partitionId } from "../../src/base/ids.ts";
import { NEW_REPLICA, type ReplicaEffect, type ReplicaEvent } from "../../src/replication/io.ts";
import { encodedOf, PrepareList } from "../../src/replication/prepare_list.ts";
import { ReplicaCore } from "../../src/replication/replica.ts";
import { encodeBody } from "../../src/schema/mutation_body.ts";
import { encodeValue } from "../../src/schema/value_format.ts";
import { BlockBuffer } from "../../storage/block_buffer.ts";
import type { BatchOp } from "../../storage/engine.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import { RecordKind } from "../../storage/log.ts";
import { PackedOps } from "../../storage/packed_ops.ts";
import { RowLayer } from "../../storage/row_layer.ts";
import { StorageTranslator } from "../../storage/translate.ts";
import { WriteBehindEngine } from "../../storage/write_behind.ts";
import { SETTINGS } from "../unit/replication/group.ts";

const PARTITION = partitionId(1, 0);
const value = new Uint8Array(100).fill(7);
const keys = Array.from({ length: 1000 }, (_, i) => {
  const key = new Uint8Array(24).fill(65);
  key[0] = 0;
  key[1] = 10;
  key[20] = i & 0xff;
  key[21] = i >>> 8;
  return key;
});
let next = 0;
const someKey = () => keys[next++ % keys.length]!;

// ---- the core: two sets per mutation, as 32 clients over 8 partitions make them ------------------------------

const SETS = 2;
const settings = { ...SETTINGS, cacheMutationsMax: 2000, mutationBytesMax: 1 << 20 };
const members = ["a:1", "b:1", "c:1"];
const config = {
  partition: PARTITION,
  ballot: 1,
  primary: "a:1",
  secondaries: ["b:1", "c:1"],
  lastDrops: [],
  maxReplicaCount: 3,
  committedHint: 0,
};

/** Three cores, a log that is always fast and messages that always arrive. */
class Cores {
  readonly #cores = new Map<string, ReplicaCore>();
  readonly #inbox: { readonly to: string; readonly event: ReplicaEvent }[] = [];
  #now = 1000;
  replies = 0;

  constructor() {
    for (const self of members) {
      const core = new ReplicaCore({
        partition: PARTITION,
        self,
        incarnation: 1,
        settings,
        translator: new StorageTranslator({ get: () => undefined }),
        recovered: { ...NEW_REPLICA, existed: true },
        maxReplicaCount: 3,
      }, this.#time());
      this.#cores.set(self, core);
      this.#step(self, { kind: "metaContact", connected: true });
    }
    // A group that was there before: its primary asks for the next ballot, the others to stay members.
    for (const self of members) this.#step(self, { kind: "config", config });
    this.#run();
  }

  set(count: number): void {
    for (let i = 0; i < count; i++) {
      const op = { kind: "put" as const, rows: [{ key: someKey(), value, expireTs: 0 }] };
      const request = { token: 0, op, session: 0, sequence: 0, answeredBelow: 0, bytes: 200 };
      this.#step("a:1", { kind: "write", request });
    }
    this.#step("a:1", { kind: "flush" });
    this.#run();
  }

  #time() {
    return { mono: this.#now += 0.1, wall: 1_700_000_000_000 + this.#now };
  }

  #run(): void {
    for (let i = 0; i < this.#inbox.length; i++) {
      this.#step(this.#inbox[i]!.to, this.#inbox[i]!.event);
    }
    this.#inbox.length = 0;
  }

  #step(to: string, event: ReplicaEvent): void {
    const out: ReplicaEffect[] = [];
    this.#cores.get(to)!.step(event, this.#time(), out);
    for (const effect of out) {
      if (effect.kind === "send") {
        this.#inbox.push({ to: effect.to, event: { kind: "message", message: effect.message } });
      } else if (effect.kind === "append") {
        this.#inbox.push({ to, event: { kind: "appended", token: effect.token } });
      } else if (effect.kind === "apply") {
        const { decree } = effect.mutations[effect.mutations.length - 1]!;
        this.#inbox.push({ to, event: { kind: "applied", decree } });
      } else if (effect.kind === "updateConfig") {
        // Meta's part: it agrees to everything.
        const { attempt, config } = effect;
        this.#inbox.push({ to, event: { kind: "configReply", attempt, error: 0, config } });
      } else if (effect.kind === "reply" && effect.error === 0) this.replies++;
    }
  }
}

const cores = new Cores();
cores.set(SETS);
if (cores.replies !== SETS) throw new Error("The group does not serve");
Deno.bench(`three cores: ${SETS} sets in one mutation, to the answers`, () => {
  const before = cores.replies;
  cores.set(SETS);
  if (cores.replies !== before + SETS) throw new Error("The group stopped serving");
});

// ---- memory -------------------------------------------------------------------------------------------------

const ops = Array.from({ length: SETS }, () => ({ key: someKey(), value: new Uint8Array(112) }));
const body = encodeBody([], ops);
const list = new PrepareList(0);
Deno.bench("prepare list: put, commit, move to the cache: 1 mutation of 2 sets", () => {
  const decree = list.maxPrepared + 1;
  const mutation = { ballot: 1, decree, lastCommitted: decree - 1, timestampUs: decree, body };
  list.put(mutation, encodedOf(mutation), decree, 0).logged = true;
  list.commitNext();
  list.trim(decree, 2000, 8 << 20);
});

Deno.bench("mutation body: 2 sets", () => void encodeBody([], ops, 32));
Deno.bench("row value: 100 bytes", () => void encodeValue(value, 0, 1_700_000_000_000_000));

const buffer = new BlockBuffer(256 * 1024);
const payload = new Uint8Array(350);
const record = {
  partition: PARTITION,
  generation: 1,
  sequence: 1,
  kind: RecordKind.MUTATION,
  decree: 1,
  payload,
};
Deno.bench("log: append and seal a group of 8 records of 350 bytes", () => {
  for (let i = 0; i < 8; i++) buffer.append(record);
  buffer.seal(0, 0);
  buffer.clear();
});

const rowsOf = (count: number): BatchOp[] =>
  Array.from({ length: count }, () => ({ type: "put", key: someKey(), value: payload }));
const hundred = rowsOf(100);
const layer = new RowLayer();
Deno.bench("row layer: 100 rows", () => {
  layer.add(hundred);
  layer.clear();
});
const hundredBody = encodeBody([], hundred.map(({ key }) => ({ key, value: payload })));
Deno.bench("row layer: a mutation of 100 rows", () => {
  const packed = new PackedOps();
  packed.addBody(hundredBody);
  layer.add(packed);
  layer.clear();
});

// ---- LevelDB --------------------------------------------------------------------------------------------------

const dir = Deno.makeTempDirSync({ prefix: "bench_level_" });
const level = await openLevelEngine(`${dir}/plain`);
const behind = new WriteBehindEngine(await openLevelEngine(`${dir}/behind`));
globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));
for (const count of [1, 10, 100, 1000]) {
  const batch = rowsOf(count);
  Deno.bench(`LevelDB: batch of ${count} rows`, { group: "engine" }, async () => {
    await level.write(batch);
  });
}
const two = rowsOf(2);
Deno.bench("write-behind: 50 applies of 2 rows", { group: "engine" }, async () => {
  for (let i = 0; i < 50; i++) await behind.apply(two);
});
Deno.bench("get of a row in LevelDB", { group: "get" }, () => void level.get(keys[7]!));
Deno.bench("get of a row in front of it", { group: "get" }, () => {
  behind.apply(two);
  behind.get(two[0]!.key);
});
