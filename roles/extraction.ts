// Native addons of the compiled program: the system loads a library only from a file, so the runtime
// writes the ones it carries to the temporary directory and leaves them there. Invariant: each process
// has a directory of its own for that, and it is gone once the addons are loaded; no process can take
// away or change the file another one is about to load.

/**
 * Runs `load`, which loads addons. In the compiled program, what they were extracted to is removed after:
 * a loaded library needs its file no more.
 */
export async function extractedFor<T>(load: () => Promise<T>): Promise<T> {
  if (!Deno.build.standalone) return await load();
  const before = Deno.env.get("TMPDIR");
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-addons-" });
  Deno.env.set("TMPDIR", dir);
  try {
    return await load();
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
    Deno.removeSync(dir, { recursive: true });
  }
}
