// Bytes from the disk: log segments, manifests, mutations, rows, the store of meta.

import { crc32 } from "../../src/base/crc.ts";
import { concatBytes, fromUtf8, utf8 } from "../../src/base/bytes.ts";
import type { Prng } from "../../src/base/prng.ts";
import { EmbeddedCoordinator } from "../../src/coordination/embedded.ts";
import {
  clusterMismatch,
  nodeListValue,
  partitionValue,
  readNodeList,
  readPartition,
  readTable,
  readUsers,
  tableValue,
  usersValue,
} from "../../src/placement/stored.ts";
import { decodeKey, encodeKey, partitionIndexOfKey } from "../../src/schema/key_format.ts";
import { decodeMutation } from "../../src/schema/mutation.ts";
import { encodeBody, readBody } from "../../src/schema/mutation_body.ts";
import { decodeValue, encodeValue, isExpired } from "../../src/schema/value_format.ts";
import { LogFormatError } from "../../storage/log_format.ts";
import {
  BLOCK_HEAD_BYTES,
  checkBlock,
  encodeSegmentHead,
  putRecord,
  recordBytes,
  sealBlock,
  SegmentKind,
  viewOf,
} from "../../storage/log_format.ts";
import { readSegment } from "../../storage/log_reader.ts";
import { encodeChecked, LayoutError, readChecked, ReplicaDir } from "../../storage/replica_dir.ts";
import { MemoryFiles } from "../sim/memory_files.ts";
import { ballotRecord, mutationRecord, PARTITION } from "../unit/storage/log_fixture.ts";
import { sampleMutation } from "./samples.ts";
import { type FuzzTarget, kindOf, must, refusing } from "./target.ts";

const START = 4096;

function sampleSegment(kind: SegmentKind, blocks: number): Uint8Array {
  const head = encodeSegmentHead({
    ...{ kind, index: 3, startPosition: START, owner: 7, previousSequence: 1, previousDecree: 1 },
    ...{ shardCount: 2, table: [{ partition: PARTITION, generation: 1, sequence: 1 }] },
  });
  const parts = [head];
  let at = head.length;
  for (let i = 0; i < blocks; i++) {
    const records = [mutationRecord(10 + i), ballotRecord(20 + i, 2, 9)];
    const length = records.reduce((sum, record) => sum + recordBytes(record), 0);
    const bytes = new Uint8Array(BLOCK_HEAD_BYTES + length);
    let to = BLOCK_HEAD_BYTES;
    for (const record of records) {
      putRecord(bytes, viewOf(bytes), to, record);
      to += recordBytes(record);
    }
    const position = START - head.length + at;
    sealBlock(bytes, viewOf(bytes), 0, { length, position, synced: position });
    parts.push(bytes);
    at += bytes.length;
  }
  return concatBytes(parts);
}

/** Right checksums for the head and for every block that follows it. */
function sealSegment(input: Uint8Array): Uint8Array {
  const bytes = input.slice();
  const view = viewOf(bytes);
  if (bytes.length < 64) return bytes;
  const headBytes = Math.max(64, Math.min(bytes.length, view.getUint32(12, true)));
  view.setUint32(12, headBytes, true);
  view.setUint32(4, crc32(bytes.subarray(8, headBytes)), true);
  const base = Number(view.getBigUint64(24, true)) - headBytes;
  for (let at = headBytes; at + BLOCK_HEAD_BYTES <= bytes.length;) {
    const room = bytes.length - at - BLOCK_HEAD_BYTES;
    const length = Math.min(room, view.getUint32(at + 8, true));
    const position = Number.isSafeInteger(base + at) && base + at >= 0 ? base + at : 0;
    sealBlock(bytes, view, at, { length, position, synced: 0 });
    at += BLOCK_HEAD_BYTES + length;
  }
  return bytes;
}

const segment: FuzzTarget = {
  name: "segment",
  about: "readSegment: only valid blocks, in order, once; the end inside the file",
  corpus: () => [
    sampleSegment(SegmentKind.SHARED, 3),
    sampleSegment(SegmentKind.PRIVATE, 2),
    sampleSegment(SegmentKind.SHARED, 0),
  ],
  seal: sealSegment,
  run(bytes, rng) {
    const last = rng.chance(0.5);
    const input = { bytes, path: "segment", last, headSyncedFirst: rng.chance(0.5) };
    let behind = 0;
    let blocks = 0;
    let damages = 0;
    return refusing([LogFormatError], () => {
      const { end, head } = readSegment(input, {
        block(records, _path, offset, blockEnd) {
          must(offset >= behind && blockEnd > offset, "blocks come in order");
          must(checkBlock(bytes, viewOf(bytes), offset, undefined) !== undefined, "and are valid");
          for (const { payload } of records) {
            const mutation = decodeMutation(payload);
            if (mutation !== undefined) readBody(mutation.body, { put() {}, remove() {} });
          }
          behind = blockEnd;
          blocks++;
        },
        damage: () => damages++,
      });
      must(end >= 0 && end <= bytes.length, `the end is ${end} of ${bytes.length}`);
      const whole = head === undefined ? "headless" : "head";
      return `${whole} ${Math.min(9, blocks)} ${Math.min(9, damages)} ${end === bytes.length}`;
    });
  },
};

const mutation: FuzzTarget = {
  name: "mutation",
  about: "decodeMutation and readBody: what is read is inside the bytes, and encodes to the same",
  corpus: () => [sampleMutation(), sampleMutation().slice(32)],
  run(input) {
    const decoded = decodeMutation(input);
    const body = decoded?.body ?? input;
    const ops: { key: Uint8Array; value: Uint8Array | undefined }[] = [];
    const sessions: Parameters<typeof encodeBody>[0][number][] = [];
    const whole = readBody(body, {
      session: (record) => sessions.push(record),
      put: (key, value) => ops.push({ key, value }),
      remove: (key) => ops.push({ key, value: undefined }),
    });
    const bytes = ops.reduce((sum, op) => sum + op.key.length + (op.value?.length ?? 0), 0);
    must(bytes <= body.length, "rows are parts of the body");
    if (whole) {
      const again = encodeBody(sessions, ops);
      let count = 0;
      must(
        readBody(again, { session: () => count++, put: () => count++, remove: () => count++ }),
        "what was read can be written and read",
      );
      must(count === ops.length + sessions.length, "and is the same");
    }
    return `${decoded === undefined} ${whole} ${Math.min(9, ops.length)} ${
      Math.min(9, sessions.length)
    }`;
  },
};

const rows: FuzzTarget = {
  name: "row",
  about: "keys and values as stored",
  corpus: () =>
    [
      encodeKey(utf8("hash"), utf8("sort")),
      encodeKey(new Uint8Array(0), utf8("sort")),
      encodeValue(utf8("value"), 123, 1_700_000_000_000_000, 1),
    ].map((bytes) => bytes.slice()),
  run(input, rng) {
    const key = decodeKey(input);
    if (key !== undefined) {
      const again = encodeKey(key.hashKey, key.sortKey);
      must(crc32(again) === crc32(input), "a key that is read encodes to itself");
      const index = partitionIndexOfKey(input, 1 + rng.below(1000));
      must(index === undefined || (index >= 0 && index < 1000), "a partition exists");
    }
    const seen = [0, 1].map((version) => {
      const value = decodeValue(input, version as 0 | 1);
      return value === undefined ? "no" : `yes ${isExpired(input, 5)}`;
    });
    return `${key === undefined} ${seen.join()} ${Math.min(20, input.length)}`;
  },
};

function sealChecked(input: Uint8Array): Uint8Array {
  const text = fromUtf8(input);
  const end = text.indexOf("\n") + 1;
  const line = utf8(end === 0 ? `${text}\n` : text.slice(0, end));
  return utf8(`${fromUtf8(line)}crc32 ${crc32(line).toString(16).padStart(8, "0")}\n`);
}

const MANIFEST_FILES = new MemoryFiles();
MANIFEST_FILES.makeDir("/data/replicas/1.0");

function put(files: MemoryFiles, path: string, bytes: Uint8Array): void {
  files.remove(path);
  const file = files.open(path, "create");
  file.write(bytes, 0);
  file.close();
}

const manifest: FuzzTarget = {
  name: "manifest",
  about: "manifests and other checked files: read, or refused by LayoutError",
  corpus() {
    const table = { tableName: "t", partitionCount: 8, copies: 1 };
    const known = { partition: "1.0", ballot: 5, durable: 9, generation: 4, syncedSequence: 3 };
    return [
      encodeChecked({ incarnation: 12 }),
      encodeChecked(known),
      encodeChecked({ ...known, ...table, info: null }),
    ];
  },
  seal: sealChecked,
  run(input) {
    put(MANIFEST_FILES, "/data/replicas/1.0/manifest", input);
    const read = refusing([LayoutError], () => {
      const record = readChecked(MANIFEST_FILES, "/data/replicas/1.0/manifest");
      return `record ${Object.keys(record).length}`;
    });
    const opened = refusing([LayoutError], () => {
      const dir = ReplicaDir.open(MANIFEST_FILES, "/data", PARTITION);
      return `manifest ${typeof dir.manifest.ballot}`;
    });
    return `${read} ${opened}`;
  },
};

const stored: FuzzTarget = {
  name: "meta_state",
  about: "nodes of meta's store: read, or refused with a reason",
  corpus() {
    const info = {
      ...{ tableId: 1, name: "t", status: "available" as const, partitionCount: 8 },
      ...{ maxReplicaCount: 3, envs: new Map([["default_ttl", "5"]]), createdAt: 1, droppedAt: 0 },
      expiresAt: 0,
    };
    const config = {
      ...{ partition: PARTITION, ballot: 4, primary: "a:1", secondaries: ["b:1"], lastDrops: [] },
      ...{ maxReplicaCount: 3, committedHint: 0 },
    };
    const key = new Uint8Array(32).fill(7);
    const verifier = { salt: key, iterations: 15000, storedKey: key, serverKey: key };
    return [
      tableValue(info as never),
      partitionValue(config),
      utf8('{"layout":1,"cluster":"test","store":"x","former":[],"recovering":false}'),
      nodeListValue(["a:1"]),
      usersValue([{ name: "ada", admin: true, createdAt: 1, verifier }]),
    ];
  },
  run(input) {
    const readers = [
      () => readTable(input, 1).status,
      () => typeof readPartition(input, PARTITION).ballot,
      () => String(clusterMismatch(input, "test")?.slice(0, 20)),
      () => `${readNodeList({ path: "/drained", value: input, version: 0 }).length > 0}`,
      () => `${readUsers(input).length > 0}`,
    ];
    return readers.map((read) => {
      try {
        return read();
      } catch (error) {
        // Documented: any error; the leader abdicates with its text.
        return kindOf(error);
      }
    }).join();
  },
};

const CLOSED_STORE = await storeFiles();

const STORE_SAMPLE = [...CLOSED_STORE.values()].find((bytes) => bytes.length > 12)!;

async function storeFiles(): Promise<Map<string, Uint8Array>> {
  const files = new MemoryFiles();
  const store = await EmbeddedCoordinator.open({ files, dir: "/meta" });
  await new Promise<void>((elected) => store.campaign("m:1", () => elected()));
  await store.multi([{ op: "create", path: "/a", value: utf8("1") }], 1);
  await store.multi([{ op: "set", path: "/a", value: utf8("2"), version: 0 }], 1);
  await store.close();
  return new Map(files.list("/meta").map((name) => [name, files.readFile(`/meta/${name}`)]));
}

/** Right checksums for every block: magic, length, checksum, payload (src/coordination/embedded.ts). */
function sealStore(input: Uint8Array): Uint8Array {
  const bytes = input.slice();
  const view = viewOf(bytes);
  for (let at = 0; at + 12 <= bytes.length;) {
    view.setUint32(at, viewOf(STORE_SAMPLE).getUint32(0));
    const length = Math.min(bytes.length - at - 12, view.getUint32(at + 4));
    view.setUint32(at + 4, length);
    view.setUint32(at + 8, crc32(bytes.subarray(at + 12, at + 12 + length)));
    at += 12 + length;
  }
  return bytes;
}

const store: FuzzTarget = {
  name: "meta_store",
  about: "log and snapshot of the embedded store: opened, or refused with a reason",
  corpus: () => [...CLOSED_STORE.values()],
  seal: sealStore,
  async run(input: Uint8Array, rng: Prng) {
    const files = new MemoryFiles();
    files.makeDir("/meta");
    const names = [...CLOSED_STORE.keys()];
    const hit = rng.pick(names);
    for (const [name, bytes] of CLOSED_STORE) {
      put(files, `/meta/${name}`, name === hit ? input : bytes);
    }
    try {
      const opened = await EmbeddedCoordinator.open({ files, dir: "/meta" });
      const node = await opened.get("/a").catch(kindOf);
      await opened.close();
      return `${hit} opened ${typeof node}`;
    } catch (error) {
      must(error instanceof Error, "a reason");
      return `${hit} ${kindOf(error)}`;
    }
  },
};

/** See the file comment. */
export const DISK_TARGETS: readonly FuzzTarget[] = [
  segment,
  mutation,
  rows,
  manifest,
  stored,
  store,
];
