// What a test needs and this machine lacks. A test that cannot run says so in a line with "NOT RUN", which .ci/run
// repeats at its end. In CI the programs that .ci/run installs must be there: a test that needs one fails without it.

/** Ends a test for want of a program that .ci/run installs. @param reason What is missing. @throws {Error} In CI. */
export function missing(
  reason: string,
  env: { get(name: string): string | undefined } = Deno.env,
): void {
  if (!["", "0", "false"].includes(env.get("CI") ?? "")) {
    throw new Error(`${reason}. In CI it has to be there, .ci/run installs it`);
  }
  notRun(reason);
}

/** Ends a test that the machine does not permit, in CI too: mounting and tracing are not granted everywhere. */
export function notRun(reason: string): void {
  console.warn(`NOT RUN: ${reason}`);
}
