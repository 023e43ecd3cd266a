// The steps of a read inside a replica server and at its client: LevelDB, a get as it is answered, a range as a scan
// reads it, and rows on their way. Each line says how many rows it is for.
// Run: deno bench --allow-read --allow-write --allow-env --allow-ffi --allow-sys tests/bench/read_path_bench.ts

import { RangeReader } from "../../roles/replica/range_reader.ts";
import { READ_DEFAULTS, readGet } from "../../roles/replica/reads.ts";
import { GetScanner } from "../../src/schema/client_rpc.ts";
import { decode, encode } from "../../src/schema/codec.ts";
import { encodeKey } from "../../src/schema/key_format.ts";
import { RowBlock, rowBlock } from "../../src/schema/row_block.ts";
import { encodeValue } from "../../src/schema/value_format.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";

const ROWS = 20_000;
const BATCH = 500;
const text = (value: string) => new TextEncoder().encode(value);
const keys = Array.from({ length: ROWS }, (_, i) => encodeKey(text("big"), text(`r${10000 + i}`)));
const value = crypto.getRandomValues(new Uint8Array(100));
const stored = encodeValue(value, 0, 1);

const dir = Deno.makeTempDirSync({ prefix: "pegasus-read-bench-" });
const engine = await openLevelEngine(dir);
for (let i = 0; i < ROWS; i += BATCH) {
  const batch = keys.slice(i, i + BATCH);
  await engine.write(batch.map((key) => ({ type: "put" as const, key, value: stored })));
}
await engine.flush();
globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));

let next = 0;
const someKey = () => keys[next = (next + 7919) % ROWS]!;
const scope = { engine, limits: READ_DEFAULTS, nowSeconds: 1, now: () => 0 };
const request = { partition: 1, stale: false, key: text(""), stalenessMaxMs: 0 };

Deno.bench("engine: get", { group: "get" }, () => void engine.get(someKey()));
Deno.bench("a get as it is answered", { group: "get" }, () => {
  readGet(scope, { ...request, key: someKey() });
});

for (const readsAhead of [false, true]) {
  const how = readsAhead ? "reading ahead" : "block by block";
  Deno.bench(`range: ${ROWS} rows, ${how}`, { group: "range" }, async () => {
    const reader = new RangeReader(engine.range({ gte: keys[0]! }), { readsAhead });
    while (await reader.fill()) while (reader.take() !== undefined);
    await reader.close();
  });
}

const rows = keys.slice(0, BATCH).map((key) => ({ key, value, expireTs: undefined }));
const block = rowBlock.write(RowBlock.of(rows));
const answer = { context: 1, rows: RowBlock.of(rows), count: 0 };
const bytes = new Uint8Array(encode(GetScanner.response, answer));
Deno.bench(`rows: ${BATCH} into a block`, { group: "rows" }, () => {
  rowBlock.write(RowBlock.of(rows));
});
Deno.bench(`rows: ${BATCH} out of a block`, { group: "rows" }, () => {
  rowBlock.read(block, "rows");
});
Deno.bench(`scan answer of ${BATCH} rows: encode`, { group: "rows" }, () => {
  encode(GetScanner.response, answer);
});
Deno.bench(`scan answer of ${BATCH} rows: decode`, { group: "rows" }, () => {
  decode(GetScanner.response, bytes, "answer");
});
