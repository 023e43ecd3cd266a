// What a replica knows of its table, and what follows from it for every request: whether the key belongs here,
// whether the table turns the request away, whether it is one too many. Pure: time is passed in. Invariant: a
// request for a key of another partition never reaches the engine, so a client with an old partition count can
// neither lose a write nor miss a row. docs/data_api.md, "Ownership", "Throttling".

import { Err } from "../../src/base/errors.ts";
import { indexOf, type PartitionId } from "../../src/base/ids.ts";
import type { WriteOp } from "../../src/replication/write_op.ts";
import {
  CLOSED_TABLE,
  denial,
  mayUse,
  type Principal,
  type TableRights,
} from "../../src/schema/access.ts";
import { partitionIndexOf, partitionIndexOfKey } from "../../src/schema/key_format.ts";
import { NO_ENVS, type TableEnvs } from "../../src/schema/table_envs.ts";
import { READ_DEFAULTS, type ReadLimits } from "./reads.ts";
import { RateThrottle, TokenBucket, type Verdict } from "./throttle.ts";

/** A read slower than this is logged unless the table says otherwise, ms. */
const SLOW_READ_MS = 100;

/** See the file comment. One per replica. */
export class PartitionGuard {
  /** Bounds of reads, with the table's own time limit. */
  limits: ReadLimits = READ_DEFAULTS;
  /** Reads slower than this are logged, ms. */
  slowReadMs = SLOW_READ_MS;
  readonly readBytes = new TokenBucket();
  readonly #index: number;
  /** 0 until the table is known: then nothing is refused for its key. */
  #partitionCount: number;
  #envs: TableEnvs = NO_ENVS;
  /** Nobody but administrators until meta has told. */
  #rights: TableRights = CLOSED_TABLE;
  #tableName = "";
  readonly #reads = new RateThrottle();
  readonly #staleReads = new RateThrottle();
  readonly #writes = new RateThrottle();
  readonly #writeBytes = new RateThrottle();

  /** @param partitionCount Of the table, as stored with the replica; 0 = unknown. */
  constructor(partition: PartitionId, partitionCount = 0) {
    this.#index = indexOf(partition);
    this.#partitionCount = partitionCount;
  }

  get envs(): TableEnvs {
    return this.#envs;
  }

  /** Takes over what meta says about the table. @param nowMs Monotonic ms. */
  configure(partitionCount: number, envs: TableEnvs, nowMs: number, tableName = ""): void {
    this.#rights = envs.rights;
    this.#tableName = tableName;
    this.#partitionCount = partitionCount;
    this.#envs = envs;
    this.#reads.configure(envs.reads, partitionCount);
    this.#staleReads.configure(envs.staleReads, partitionCount);
    this.#writes.configure(envs.writes, partitionCount);
    this.#writeBytes.configure(envs.writeBytes, partitionCount);
    this.readBytes.configure(envs.readBytes / partitionCount, nowMs);
    this.slowReadMs = envs.slowReadMs ?? SLOW_READ_MS;
    const { rangeTimeMs = READ_DEFAULTS.rangeTimeMsMax } = envs;
    this.limits = { ...READ_DEFAULTS, rangeTimeMsMax: rangeTimeMs === 0 ? Infinity : rangeTimeMs };
  }

  /**
   * Why somebody may not do this; `undefined` if he may. An open table costs two comparisons, a closed
   * one a look into a map: 20 ns.
   */
  forbids(
    who: Principal | undefined,
    needed: number,
  ): { readonly error: number; readonly detail: string } | undefined {
    if (who === undefined || mayUse(this.#rights, who, needed)) return undefined;
    if (this.#rights === CLOSED_TABLE) return NOT_DESCRIBED;
    return { error: Err.ACL_DENY, detail: denial(who, needed, this.#tableName) };
  }

  /** How requests of a kind are turned away at the moment; `undefined` = they are not. */
  denies(what: "read" | "write"): "timeout" | "reconfig" | undefined {
    const { deny } = this.#envs;
    if (deny === undefined || (deny.what !== "all" && deny.what !== what)) return undefined;
    return deny.mode;
  }

  /** What becomes of one more read; `undefined` = it goes on. @param nowMs Monotonic ms. */
  admitRead(stale: boolean, nowMs: number): Verdict | undefined {
    if (!this.readBytes.hasTokens(nowMs)) return NO_TOKENS;
    return (stale ? this.#staleReads : this.#reads).admit(1, nowMs);
  }

  /** What becomes of one more write; `undefined` = it goes on. First by number, then by size. */
  admitWrite(bytes: number, nowMs: number): Verdict | undefined {
    const byCount = this.#writes.admit(1, nowMs);
    if (byCount !== undefined) return byCount;
    const bySize = this.#writeBytes.admit(bytes, nowMs);
    if (bySize?.kind === "reject") this.#writes.giveBack(1);
    return bySize;
  }

  /** Whether a raw key belongs to this partition. One that names no row is for others to refuse. */
  ownsKey(raw: Uint8Array): boolean {
    if (this.#partitionCount <= 1) return true;
    const index = partitionIndexOfKey(raw, this.#partitionCount);
    return index === undefined || index === this.#index;
  }

  /** Whether rows of a hash key, or the row of a sort key without hash key, belong to this partition. */
  owns(hashKey: Uint8Array, sortKey: Uint8Array): boolean {
    return this.#partitionCount <= 1 ||
      partitionIndexOf(hashKey, sortKey, this.#partitionCount) === this.#index;
  }

  /** Whether everything a client's write touches belongs to this partition. */
  ownsWrite(op: WriteOp): boolean {
    switch (op.kind) {
      case "put":
        return this.#ownsAll(op.rows.length, (i) => op.rows[i]!.key);
      case "remove":
        return this.#ownsAll(op.keys.length, (i) => op.keys[i]!);
      case "incr":
        return this.ownsKey(op.key);
      case "checkAndSet":
        return this.ownsKey(op.checkKey) && (isKeyed(op.checkKey) || this.ownsKey(op.row.key));
      case "checkAndMutate":
        return this.ownsKey(op.checkKey) && (isKeyed(op.checkKey) ||
          op.mutations.every((mutation) => this.ownsKey(mutation.key)));
      default:
        return true;
    }
  }

  /** All keys of one request have the same hash key: the first speaks for them, unless it is empty. */
  #ownsAll(count: number, keyAt: (i: number) => Uint8Array): boolean {
    if (count === 0) return true;
    if (!this.ownsKey(keyAt(0))) return false;
    if (isKeyed(keyAt(0))) return true;
    for (let i = 1; i < count; i++) if (!this.ownsKey(keyAt(i))) return false;
    return true;
  }
}

const NOT_DESCRIBED = {
  error: Err.INVALID_STATE,
  detail: "This server does not know yet who may use the table",
};

const NO_TOKENS: Verdict = { kind: "reject", ms: 0 };

/** Whether a raw key has a hash key: otherwise rows are spread by their sort keys. */
function isKeyed(raw: Uint8Array): boolean {
  return raw[0] !== 0 || raw[1] !== 0;
}
