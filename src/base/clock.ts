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

/** Less is the ordinary disagreement of two clocks. */
const SLEEP_MS_MIN = 50;

/**
 * How long the machine slept since an earlier reading, ms: its monotonic clock stands still meanwhile, the wall clock
 * goes on. Also what the wall clock was set ahead by; whoever asks must then be careful for nothing.
 */
export function sleptMs(now: Now, since: Now): number {
  const ms = now.wall - since.wall - (now.mono - since.mono);
  return ms < SLEEP_MS_MIN ? 0 : ms;
}

/** The clocks of the operating system. */
export const systemClock: Clock = {
  now: () => ({ mono: performance.now(), wall: Date.now() }),
};
