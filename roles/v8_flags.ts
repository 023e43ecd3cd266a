// How the runtime's memory is bounded, for everything that starts a server: the onebox, and the executables.

/**
 * A young generation of 8 MiB at most. After the same load a server holds 276 to 285 MB instead of 307 to 312 with 16,
 * at rates that differ no more than two runs do, but multi_set pays 9 %: docs/performance.md, "Garbage".
 */
export const V8_FLAGS = "--v8-flags=--max-semi-space-size=8";
