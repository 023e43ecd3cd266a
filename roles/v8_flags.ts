// How the runtime's memory is bounded, for everything that starts a server: the onebox, and the executables.

/**
 * A young generation of 16 MiB at most. After the same load a server holds 295 to 306 MiB instead of 331 to 337, at
 * rates that differ no more than two runs do. Less gives reads and takes from writes: docs/performance.md, "Garbage".
 */
export const V8_FLAGS = "--v8-flags=--max-semi-space-size=16";
