// Types of the one function used from @std/cli, which the npm form of the package ships without.

/** How to read the words. */
export interface ParseOptions {
  /** Flags that take a value. */
  string?: readonly string[];
  /** Flags that stand alone. */
  boolean?: readonly string[];
  /** Flags that may be repeated. */
  collect?: readonly string[];
  alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Stop at the first word that is no flag. */
  stopEarly?: boolean;
  /** Called for every flag that is not declared, and for every other word (then without `key`). */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Values of flags by name; words that are no flags are in `_`. */
export function parseArgs(
  args: readonly string[],
  options?: ParseOptions,
): { _: (string | number)[] } & Record<string, unknown>;
