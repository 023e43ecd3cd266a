// A watch that saw nothing yet, for pages that show what is watched.

import type { Watching } from "../../../roles/meta/watching.ts";

/** See the file comment. */
export const NOTHING_WATCHED: Pick<Watching, "availability" | "hotspots" | "load" | "rateOf"> = {
  availability: { minute: null, hour: null, day: null },
  hotspots: () => Promise.resolve([]),
  load: () => Promise.resolve({}),
  rateOf: () => undefined,
};
