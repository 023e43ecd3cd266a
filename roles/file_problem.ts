// What the system said about a file, for people.

/**
 * An error like: Cannot read the password file "/x": No such file or directory.
 *
 * @param what The file, in quotes, and what it is for.
 */
export function fileProblem(act: "read" | "write", what: string, error: unknown): Error {
  const said = error instanceof Error ? error.message : String(error);
  // "No such file or directory (os error 2): stat '/x'": the number and the call are of no use here.
  const reason = said.replace(/ \(os error \d+\).*$/s, "");
  return new Error(`Cannot ${act} ${what}: ${reason}`, { cause: error });
}
