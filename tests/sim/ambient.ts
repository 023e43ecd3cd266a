// What simulated code may not use: clocks, timers and chance of the runtime. While a run lasts they throw, and
// random bytes come from the seed, so that a run depends on nothing else (docs/testing.md, "Simulator").

import { Prng } from "../../src/base/prng.ts";

type Ambient = { [name: string]: unknown };

const FORBIDDEN: readonly (readonly [holder: () => Ambient, name: string])[] = [
  [() => Date as unknown as Ambient, "now"],
  [() => Math as unknown as Ambient, "random"],
  [() => performance as unknown as Ambient, "now"],
  [() => globalThis as unknown as Ambient, "setTimeout"],
  [() => globalThis as unknown as Ambient, "setInterval"],
];

/** Runs `work` in a world without clocks, timers and chance of its own. */
export async function withoutAmbient<T>(seed: string, work: () => Promise<T>): Promise<T> {
  const chance = new Prng(`${seed}/crypto`);
  const fill = (bytes: ArrayBufferView) => {
    const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < view.length; i++) view[i] = chance.below(256);
    return bytes;
  };
  const restore = FORBIDDEN.map(([holderOf, name]) =>
    replace(holderOf(), name, () => {
      throw new Error(`Simulated code used ${name}(), which no seed decides`);
    })
  );
  restore.push(replace(crypto as unknown as Ambient, "getRandomValues", fill));
  try {
    return await work();
  } finally {
    for (const undo of restore) undo();
  }
}

/** @returns What puts the old value back. */
function replace(holder: Ambient, name: string, value: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(holder, name);
  Object.defineProperty(holder, name, { value, configurable: true, writable: true });
  return () => {
    if (own === undefined) delete holder[name];
    else Object.defineProperty(holder, name, own);
  };
}
