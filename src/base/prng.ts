// The only chance in the product: seeded, so that a simulation can replay it.

/** A stream of pseudo-random numbers (sfc32). Not for secrets. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param seed Any text or number; equal seeds give equal streams. */
  constructor(seed: string | number) {
    // FNV-1a over the seed, four times with different bases, then warm-up.
    const text = String(seed);
    const hash = (basis: number): number => {
      let h = basis >>> 0;
      for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
      return h;
    };
    this.#a = hash(0x811c9dc5);
    this.#b = hash(0x9e3779b9);
    this.#c = hash(0x85ebca6b);
    this.#d = 1;
    for (let i = 0; i < 16; i++) this.uint32();
  }

  /** Uniform in 0 .. 2^32-1. */
  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1). */
  float(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** Uniform integer in [0, end). */
  below(end: number): number {
    return Math.floor(this.float() * end);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One element of a non-empty list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}
