// Judges whether a history of client operations on one small object could have happened one operation at a
// time, each between its call and its answer. An operation with an unknown outcome may take effect at any
// time after its call, or never. The search is Wing and Gong's with Lowe's memo (docs/testing.md,
// "Histories"); it trusts nothing but what clients saw. The object is one hash key: a few rows by sort key.

/** What a client asked. Values and numbers are texts; a counter is the decimal text of an integer. */
export type ModelOp =
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "mget"; readonly keys: readonly string[] }
  | { readonly kind: "put"; readonly rows: readonly (readonly [key: string, value: string])[] }
  | { readonly kind: "remove"; readonly key: string }
  /** Sets `value` if the row's value is `expected` (undefined: if there is no row). */
  | {
    readonly kind: "cas";
    readonly key: string;
    readonly expected: string | undefined;
    readonly value: string;
  }
  | { readonly kind: "incr"; readonly key: string; readonly by: number };

/** One operation of a history. */
export interface Operation {
  readonly client: string | number;
  readonly op: ModelOp;
  readonly invoke: number;
  /** When the answer came; ignored without a result. */
  readonly return: number;
  /** What the answer said, in the words of {@link applyModel}; undefined: outcome unknown. */
  readonly result: string | undefined;
  /** Where a system that keeps count says the operation stands; only the order of trying follows it. */
  readonly hint?: number;
}

/** Rows of the object by sort key. Treated as immutable. */
export type ModelState = ReadonlyMap<string, string>;

/** The object before anything happened. */
export const EMPTY_STATE: ModelState = new Map();

/** Runs one operation on the sequential model. */
export function applyModel(state: ModelState, op: ModelOp): { state: ModelState; result: string } {
  switch (op.kind) {
    case "get":
      return { state, result: show(state.get(op.key)) };
    case "mget":
      return { state, result: JSON.stringify(op.keys.map((key) => show(state.get(key)))) };
    case "put": {
      const next = new Map(state);
      for (const [key, value] of op.rows) next.set(key, value);
      return { state: next, result: "ok" };
    }
    case "remove": {
      if (!state.has(op.key)) return { state, result: "ok" };
      const next = new Map(state);
      next.delete(op.key);
      return { state: next, result: "ok" };
    }
    case "cas": {
      const actual = state.get(op.key);
      if (actual !== op.expected) return { state, result: `failed ${show(actual)}` };
      return { state: new Map(state).set(op.key, op.value), result: "passed" };
    }
    case "incr": {
      const value = String(Number(state.get(op.key) ?? "0") + op.by);
      return { state: new Map(state).set(op.key, value), result: value };
    }
  }
}

/** How results name a value: `=value`, or `-` for no row. */
export function show(value: string | undefined): string {
  return value === undefined ? "-" : `=${value}`;
}

/** `undecided`: the memo limit was reached. */
export type Verdict = "linearizable" | "violation" | "undecided";

/**
 * Searches for an order that explains the history.
 *
 * @param memoMax Remembered (set of done operations, state) pairs before giving up.
 */
export function checkLinearizable(history: readonly Operation[], memoMax = 2_000_000): Verdict {
  let verdict: Verdict = "linearizable";
  for (const part of independentParts(withoutUnseen(history))) {
    const one = new Search(part).run(memoMax);
    if (one === "violation") return one;
    if (one === "undecided") verdict = one;
  }
  return verdict;
}

/** Rows an operation touches. */
export function keysOf(op: ModelOp): readonly string[] {
  if (op.kind === "put") return op.rows.map(([key]) => key);
  return op.kind === "mget" ? op.keys : [op.key];
}

/** Histories of rows that no operation touches together: each may be judged alone (locality). */
function independentParts(history: readonly Operation[]): Operation[][] {
  const groups = new Map<string, Set<string>>();
  for (const { op } of history) {
    const merged = new Set<string>();
    for (const key of keysOf(op)) {
      for (const other of groups.get(key) ?? [key]) merged.add(other);
    }
    for (const key of merged) groups.set(key, merged);
  }
  const parts = new Map<Set<string>, Operation[]>();
  for (const operation of history) {
    const group = groups.get(keysOf(operation.op)[0]!)!;
    const part = parts.get(group);
    if (part === undefined) parts.set(group, [operation]);
    else part.push(operation);
  }
  return [...parts.values()];
}

/**
 * Leaves out writes of unknown outcome whose value nobody ever saw. With such a write the history has an
 * order if and only if it has one without: every operation that could stand between it and the next write
 * would have told its value.
 */
function withoutUnseen(history: readonly Operation[]): Operation[] {
  const seen = new Set<string>();
  for (const { op, result } of history) {
    for (const value of valuesIn(op, result)) seen.add(value);
    if (op.kind === "cas" && op.expected !== undefined) seen.add(op.expected);
    // Adding to a counter hides what it found, so counters count as seen.
    if (op.kind === "incr") seen.add(op.key);
  }
  return history.filter(({ op, result }) => {
    if (result !== undefined || (op.kind !== "put" && op.kind !== "cas")) return true;
    if (keysOf(op).some((key) => seen.has(key))) return true;
    return valuesOf(op).some((value) => seen.has(value));
  });
}

/** Values that an answer tells. */
function valuesIn(op: ModelOp, result: string | undefined): readonly string[] {
  if (result === undefined) return [];
  const shown: string[] = op.kind === "mget" ? JSON.parse(result) : [result];
  return shown.map((text) => text.slice(text.indexOf("=") + 1));
}

function valuesOf(op: ModelOp): readonly string[] {
  return op.kind === "put"
    ? op.rows.map(([, value]) => value)
    : op.kind === "cas"
    ? [op.value]
    : [];
}

/** A point of the history: the call of an operation, or its answer. A linked list while searching. */
interface Point {
  readonly id: number;
  readonly isCall: boolean;
  previous: Point | undefined;
  next: Point | undefined;
  /** The answer of a call; undefined for unknown outcomes. */
  answer: Point | undefined;
}

/** One choice of the search: what could come next in `state`, and what was taken to get here. */
interface Frame {
  readonly candidates: readonly Point[];
  next: number;
  readonly state: ModelState;
  readonly lifted: Point[];
}

class Search {
  readonly #history: readonly Operation[];
  readonly #head: Point = {
    id: -1,
    isCall: false,
    previous: undefined,
    next: undefined,
    answer: undefined,
  };
  readonly #done: Uint16Array;
  /** Answered operations not yet placed. The history is explained when none is left. */
  #open = 0;
  readonly #states = new Map<string, number>();
  readonly #memo = new Set<string>();

  constructor(history: readonly Operation[]) {
    this.#history = history;
    this.#done = new Uint16Array(Math.ceil(history.length / 16));
    const points: { time: number; point: Point }[] = [];
    history.forEach((operation, id) => {
      const call: Point = {
        id,
        isCall: true,
        previous: undefined,
        next: undefined,
        answer: undefined,
      };
      points.push({ time: operation.invoke, point: call });
      if (operation.result === undefined) return;
      this.#open++;
      call.answer = { id, isCall: false, previous: undefined, next: undefined, answer: undefined };
      points.push({ time: operation.return, point: call.answer });
    });
    // At equal times calls come first: operations that touch in one instant count as concurrent.
    points.sort((a, b) => a.time - b.time || Number(b.point.isCall) - Number(a.point.isCall));
    let last = this.#head;
    for (const { point } of points) {
      last.next = point;
      point.previous = last;
      last = point;
    }
  }

  run(memoMax: number): Verdict {
    const frames: Frame[] = [this.#enter(EMPTY_STATE, [])];
    for (;;) {
      if (this.#open === 0) return "linearizable";
      const frame = frames.at(-1)!;
      const call = frame.candidates[frame.next++];
      if (call === undefined) {
        frames.pop();
        this.#undo(frame.lifted);
        if (frames.length === 0) return "violation";
        continue;
      }
      const operation = this.#history[call.id]!;
      const next = applyModel(frame.state, operation.op);
      if (operation.result !== undefined && operation.result !== next.result) continue;
      this.#lift(call);
      const entered = this.#enter(next.state, [call]);
      if (this.#remember(next.state)) frames.push(entered);
      else this.#undo(entered.lifted);
      if (this.#memo.size > memoMax) return "undecided";
    }
  }

  /** Takes what only looks and fits: that can never be wrong. Then lists what may come next. */
  #enter(state: ModelState, lifted: Point[]): Frame {
    const candidates: Point[] = [];
    let at = this.#head.next;
    while (at !== undefined && at.isCall) {
      const { op, result } = this.#history[at.id]!;
      const isRead = op.kind === "get" || op.kind === "mget" ||
        (op.kind === "cas" && result?.startsWith("failed"));
      if (isRead && result !== undefined && applyModel(state, op).result === result) {
        this.#lift(at);
        lifted.push(at);
        // Not `at.next`: the answer that was lifted with the call may have been it.
        at = at.previous!.next;
        continue;
      }
      candidates.push(at);
      at = at.next;
    }
    candidates.sort((a, b) => this.#hint(a) - this.#hint(b));
    return { candidates, next: 0, state, lifted };
  }

  /** Which to try first; unknown outcomes last. */
  #hint(call: Point): number {
    const { hint, result } = this.#history[call.id]!;
    return hint ?? (result === undefined ? Number.MAX_SAFE_INTEGER : call.id);
  }

  #undo(lifted: readonly Point[]): void {
    for (let i = lifted.length - 1; i >= 0; i--) this.#unlift(lifted[i]!);
  }

  /** Whether the set of done operations with this state is new. */
  #remember(state: ModelState): boolean {
    const key = String.fromCharCode(...this.#done) + this.#stateId(state);
    if (this.#memo.has(key)) return false;
    this.#memo.add(key);
    return true;
  }

  #flip(id: number): void {
    this.#done[id >> 4]! ^= 1 << (id & 15);
  }

  #stateId(state: ModelState): number {
    const text = JSON.stringify([...state].sort((a, b) => a[0] < b[0] ? -1 : 1));
    let id = this.#states.get(text);
    if (id === undefined) this.#states.set(text, id = this.#states.size);
    return id;
  }

  #lift(call: Point): void {
    this.#flip(call.id);
    unlink(call);
    if (call.answer === undefined) return;
    unlink(call.answer);
    this.#open--;
  }

  #unlift(call: Point): void {
    if (call.answer !== undefined) {
      relink(call.answer);
      this.#open++;
    }
    relink(call);
    this.#flip(call.id);
  }
}

function unlink(point: Point): void {
  point.previous!.next = point.next;
  if (point.next !== undefined) point.next.previous = point.previous;
}

function relink(point: Point): void {
  point.previous!.next = point;
  if (point.next !== undefined) point.next.previous = point;
}
