// Everything that is fuzzed.

import { DISK_TARGETS } from "./disk_targets.ts";
import type { FuzzTarget } from "./target.ts";
import { TEXT_TARGETS } from "./text_targets.ts";
import { WIRE_TARGETS } from "./wire_targets.ts";

/** All targets. */
export const TARGETS: readonly FuzzTarget[] = [...WIRE_TARGETS, ...DISK_TARGETS, ...TEXT_TARGETS];

/** The target of a name. @throws {Error} If there is none */
export function targetOf(name: string): FuzzTarget {
  const target = TARGETS.find((one) => one.name === name);
  if (target !== undefined) return target;
  const names = TARGETS.map((one) => one.name).join(", ");
  throw new Error(`There is no target "${name}": expected one of ${names}`);
}
