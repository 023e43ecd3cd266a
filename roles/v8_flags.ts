// How the runtime's memory is bounded, for everything that starts a server: the onebox, and the executables.

/**
 * A young generation of 4 MiB at most: 3 to 19 MB less than with 8 while a server works, at rates that differ no more than
 * two runs do. docs/performance.md, "Garbage".
 */
export const V8_FLAGS = "--v8-flags=--max-semi-space-size=4";
