// What a table may be called.

const NAME_PATTERN = /^[0-9A-Za-z._:-]{1,128}$/;

/** Why a name may not be given to a table; `undefined` if it may. */
export function nameProblem(name: string): string | undefined {
  if (NAME_PATTERN.test(name)) return undefined;
  return `Table name ${JSON.stringify(name)}: expected 1 to 128 characters of 0-9 A-Z a-z . _ : -`;
}
