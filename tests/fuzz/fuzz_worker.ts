// One target in a thread of its own, so that an input that never ends is noticed from outside.

import { Fuzzer, FuzzFailure } from "./fuzzer.ts";
import { targetOf } from "./targets.ts";

/** What a worker is told. */
export interface FuzzOrder {
  readonly target: string;
  readonly seed: string;
  /** Runs this input alone. */
  readonly input: Uint8Array | undefined;
  readonly ms: number;
  readonly cases: number;
}

/** What a worker tells. `input`: the case being run, or that broke a rule. */
export type FuzzNews =
  | { readonly kind: "running"; readonly cases: number; readonly outcomes: number }
  | {
    readonly kind: "done";
    readonly cases: number;
    readonly outcomes: number;
    readonly ms: number;
  }
  | { readonly kind: "failed"; readonly message: string; readonly input: Uint8Array };

const scope = globalThis as unknown as {
  postMessage(news: FuzzNews): void;
  onmessage: (event: MessageEvent<{ order: FuzzOrder; current: SharedArrayBuffer }>) => void;
};

/** Cases between two looks at the clock. */
const BATCH = 200;

scope.onmessage = ({ data: { order, current } }) => {
  fuzz(order, new Uint8Array(current)).catch((error) => {
    const input = error instanceof FuzzFailure ? error.input.slice() : new Uint8Array(0);
    const stack = error instanceof Error && error.cause instanceof Error ? error.cause.stack : "";
    scope.postMessage({ kind: "failed", message: `${error?.message ?? error}\n${stack}`, input });
  });
};

/** Writes down what is run, for the case that it never ends: length, then bytes. */
function remember(input: Uint8Array, current: Uint8Array): void {
  new DataView(current.buffer).setUint32(0, input.length, true);
  current.set(input.subarray(0, current.length - 4), 4);
}

async function fuzz(order: FuzzOrder, current: Uint8Array): Promise<void> {
  const fuzzer = new Fuzzer(targetOf(order.target), order.seed);
  fuzzer.onInput = (input) => remember(input, current);
  const began = performance.now();
  if (order.input !== undefined) await fuzzer.run(order.input);
  const isOver = () =>
    order.input !== undefined || fuzzer.cases >= order.cases ||
    performance.now() - began >= order.ms;
  while (!isOver()) {
    for (let i = 0; i < BATCH; i++) {
      const running = fuzzer.step();
      if (running !== undefined) await running;
    }
    scope.postMessage({ kind: "running", cases: fuzzer.cases, outcomes: fuzzer.outcomes });
    // Lets messages out.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const { cases, outcomes } = fuzzer;
  scope.postMessage({ kind: "done", cases, outcomes, ms: performance.now() - began });
}
