// The version of this program, as --version and servers tell it; a test compares it with deno.json.

/** See the file comment. */
export const VERSION = "0.1.0";
