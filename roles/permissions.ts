// What a role may do beyond files, network and environment: the rest is given back when the role is
// known, so that the one executable, which must be able to do everything any role does, can do no more
// than its role. docs/SECURITY.md, "Permissions", has the table.

/** Permissions that not every role needs. */
type Optional = "run" | "ffi" | "sys";

const OPTIONAL: readonly Optional[] = ["run", "ffi", "sys"];

/**
 * What roles keep. LevelDB is an addon, which the shell needs for files of a stopped server. Servers ask the system how
 * full disks are, and for a profile of themselves. The onebox starts servers, the bench those it compares with.
 */
const KEPT: Readonly<Record<string, readonly Optional[]>> = {
  meta: ["sys"],
  replica: ["ffi", "sys"],
  shell: ["ffi"],
  onebox: ["run"],
  bench: ["ffi", "sys", "run"],
};

/**
 * Gives back what the role does not need. It cannot be taken again, nor by threads started later.
 *
 * @param role A role of the executable; one that is not listed keeps nothing.
 */
export function narrowPermissions(role: string): void {
  const kept = KEPT[role] ?? [];
  for (const name of OPTIONAL) {
    if (!kept.includes(name)) Deno.permissions.revokeSync({ name });
  }
}
