// The only way code below `roles/` learns the time: as a value somebody passes in.

/** One reading of both clocks, taken together by a driver and handed to a pure core. */
export interface Now {
  /** Monotonic milliseconds since an arbitrary point; never steps, may stop during suspend. */
  readonly mono: number;
  /** Wall clock, Unix milliseconds; may step in both directions. */
  readonly wall: number;
}

/** Source of {@link Now} for drivers. */
export interface Clock {
  now(): Now;
}

/** The clocks of the operating system. */
export const systemClock: Clock = {
  now: () => ({ mono: performance.now(), wall: Date.now() }),
};
