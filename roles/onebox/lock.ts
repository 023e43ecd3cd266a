// One command at a time works on the servers of a directory: whoever starts, stops or removes some holds the
// lock on `onebox.lock` in it. Two that each read the state, start a server and write the state would lose one
// of them. The system takes the lock back when its holder ends, however that happens. The file stays behind:
// if it were removed, two could hold the lock of a file each.

const FILE = "onebox.lock";
/** Whoever waits longer than this is told for whom, ms. */
const QUIET_MS = 250;

/**
 * Takes the lock, waiting until nobody else holds it.
 *
 * @param dir Directory of the onebox; it is made if it is not there.
 * @param command What wants it, for those who wait.
 * @param say Takes a line about a wait.
 * @returns Gives it back when it is disposed of.
 */
export async function lockDirectory(
  dir: string,
  command: string,
  say: (line: string) => void = console.error,
): Promise<Disposable> {
  Deno.mkdirSync(dir, { recursive: true });
  const path = `${dir}/${FILE}`;
  const file = Deno.openSync(path, { read: true, write: true, create: true });
  const taken = file.lock(true);
  const notice = setTimeout(() => say(waitText(path, dir)), QUIET_MS);
  try {
    await taken;
  } finally {
    clearTimeout(notice);
  }
  sign(file, `"onebox ${command}" (pid ${Deno.pid})`);
  return {
    [Symbol.dispose]() {
      sign(file, "");
      file.close();
    },
  };
}

function waitText(path: string, dir: string): string {
  let holder = "";
  try {
    holder = Deno.readTextFileSync(path);
  } catch {
    // Somebody removed the directory.
  }
  return `${holder || "Another onebox command"} is at work in "${dir}"; waiting for it`;
}

/** Writes who holds the lock. */
function sign(file: Deno.FsFile, holder: string): void {
  try {
    file.truncateSync(0);
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(new TextEncoder().encode(holder));
  } catch {
    // A full disk keeps the name back, not the lock.
  }
}
