// Paths as people write them, made whole.

import { basename, dirname, join, resolve } from "node:path";

/** A path from where the process was started. */
export function absolutePath(path: string): string {
  return path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
}

/**
 * The one name of a directory, however it was written: absolute, without symbolic links, "." and "..", and without a
 * slash at its end. Of a directory that is not there yet this holds for the part that is, so that its name stays the
 * same when it is made.
 */
export function realPath(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    const whole = resolve(path);
    const parent = dirname(whole);
    return parent === whole ? whole : join(realPath(parent), basename(whole));
  }
}
