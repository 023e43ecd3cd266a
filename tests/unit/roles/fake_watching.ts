// A watch that saw nothing yet, for pages that show what is watched.

import type { WatchedLoad } from "../../../roles/meta/watching.ts";

/** See the file comment. */
export const NOTHING_WATCHED: WatchedLoad = {
  availability: { minute: null, hour: null, day: null },
  points: [],
  watch: () => {},
  hotspots: () => Promise.resolve([]),
  load: () => Promise.resolve({}),
  numbersOf: () => undefined,
  bytesOf: () => 0,
  rateOf: () => undefined,
};
