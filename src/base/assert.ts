// Assertions that stay on in production: a broken invariant stops the component that owns it
// before a wrong answer leaves it.

/** A rule of our own code was broken. Never thrown because of what a peer or a user did. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/**
 * Throws when `condition` is false.
 *
 * @param condition The invariant.
 * @param message What is broken, sentence case, no full stop.
 * @param details Values that explain the failure; both sides of a comparison.
 * @throws {AssertionError} If the condition does not hold.
 */
export function assert(
  condition: boolean,
  message: string,
  details?: Record<string, unknown>,
): asserts condition {
  if (!condition) {
    const text = details === undefined ? "" : ` ${JSON.stringify(details)}`;
    throw new AssertionError(message + text);
  }
}
