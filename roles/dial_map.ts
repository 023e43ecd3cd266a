// The file of the setting `dial-map`: a JSON object from the address of a server, as everybody knows it, to
// the address to dial instead. It puts proxies between servers whose names stay the same, which is how the
// chaos test cuts one direction of one link (docs/testing.md, "Chaos"). A wrong file stops the start: a
// server that ignored it would talk past the proxies, and a test would prove nothing.

const HOST_PORT = /^\S+:\d{1,5}$/;

/**
 * Reads the map.
 *
 * @param path "" = no map.
 * @throws {Error} If the file is not an object of addresses.
 */
export function readDialMap(
  path: string,
  readFile: (path: string) => string,
): ReadonlyMap<string, string> {
  if (path === "") return new Map();
  const refuse = (reason: string) =>
    new Error(
      `Cannot use the dial map "${path}": ${reason}; expected JSON such as ` +
        `{"10.0.0.1:34801": "127.0.0.1:4001"}`,
    );
  let value: unknown;
  try {
    value = JSON.parse(readFile(path));
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("it is not an object");
  }
  const map = new Map<string, string>();
  for (const [address, dialed] of Object.entries(value)) {
    if (!HOST_PORT.test(address) || typeof dialed !== "string" || !HOST_PORT.test(dialed)) {
      throw refuse(`"${address}" or what it stands for is not HOST:PORT`);
    }
    map.set(address, dialed);
  }
  return map;
}
