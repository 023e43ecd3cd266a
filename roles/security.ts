// The security of a process from its settings: files read once and checked, and what to warn about.
// Invariant: what a secret file holds goes into memory and nowhere else: no log, no page, no other
// process. docs/SECURITY.md.

import type { Settings } from "../src/config/settings.ts";
import type { SecurityOptions, TlsMaterial } from "../src/rpc/security.ts";
import { canAskForCertificates, tlsProblem } from "../src/rpc/tcp_transport.ts";
import { fileProblem } from "./file_problem.ts";

/** Secrets and tokens shorter than this can be guessed. */
const SECRET_CHARACTERS_MIN = 16;

/** A file that cannot be used: which, why, what to do. @throws {Error} */
function readPem(path: string, setting: string, what: string): string {
  if (path === "") return "";
  const text = readNamed(path, setting);
  if (text.includes("-----BEGIN ")) return text;
  throw new Error(`The file "${path}" of --${setting} holds no ${what}: expected PEM text`);
}

function readNamed(path: string, setting: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw fileProblem("read", `the file "${path}" of --${setting}`, error);
  }
}

/** The secret in a file, without the line's end. @throws {Error} If it is missing or too short. */
export function readSecret(path: string, setting: string): string {
  const secret = readNamed(path, setting).trim();
  if (secret.length >= SECRET_CHARACTERS_MIN) return secret;
  throw new Error(
    `The file "${path}" of --${setting} holds ${secret.length} characters: expected ` +
      `${SECRET_CHARACTERS_MIN} or more, for example those of "openssl rand -hex 32"`,
  );
}

/**
 * Reads certificates; `undefined` without any.
 *
 * @throws {Error} If a file cannot be used.
 */
export function readTls(files: {
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly tlsCa: string;
}): TlsMaterial | undefined {
  const { tlsCert, tlsKey, tlsCa } = files;
  if (tlsCert === "" && tlsCa === "") return undefined;
  const material = {
    cert: readPem(tlsCert, "tls-cert", "certificate"),
    key: readPem(tlsKey, "tls-key", "key"),
    ca: readPem(tlsCa, "tls-ca", "certificate"),
  };
  const problem = tlsProblem(material, Date.now());
  if (problem === undefined) return material;
  const names = [tlsCert, tlsKey, tlsCa].filter((name) => name !== "").join(", ");
  throw new Error(`The certificates in ${names} cannot be used: ${problem}`);
}

/** The security of a server. @throws {Error} If a file cannot be used. */
export function loadSecurity({ security }: Settings): SecurityOptions {
  const { auth, clusterSecretFile, tlsServerName } = security;
  if (auth !== "off" && clusterSecretFile === "" && !canAskForCertificates()) {
    throw new Error(
      "Servers could not know each other: this executable cannot ask callers for certificates " +
        `(Deno ${Deno.version.deno}); give --cluster-secret-file`,
    );
  }
  return {
    auth,
    clusterSecret: clusterSecretFile === ""
      ? ""
      : readSecret(clusterSecretFile, "cluster-secret-file"),
    tls: readTls(security),
    tlsServerName,
  };
}

/** Whether only this machine can reach an address. */
export function isLoopback(address: string): boolean {
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** What an operator must know about addresses that others can reach; one text per finding. */
export function exposures(
  { auth, tls }: SecurityOptions,
  listen: string,
  http: { readonly listen: string; readonly hasToken: boolean },
): string[] {
  const found: string[] = [];
  if (!isLoopback(listen)) {
    if (auth !== "required") {
      found.push(
        `Whoever reaches ${listen} can read, change and destroy all data: set --auth=required (see ` +
          `docs/SECURITY.md), or listen on 127.0.0.1`,
      );
    }
    if (tls === undefined) {
      found.push(
        `What goes over ${listen} can be read and changed on the way: set --tls-cert, --tls-key and ` +
          `--tls-ca unless the network is trusted`,
      );
    }
  }
  if (http.listen !== "none" && !isLoopback(http.listen)) {
    found.push(
      `Whoever reaches HTTP at ${http.listen} can read settings, metrics, table and server names: ` +
        `listen on 127.0.0.1 unless that is wanted`,
    );
    if (http.hasToken && tls === undefined) {
      found.push(
        `The admin token goes over ${http.listen} unencrypted: set --tls-cert and --tls-key`,
      );
    }
  }
  return found;
}

/** A warning if others on this machine can read a secret; "" if not, or if that cannot be told. */
export function looseMode(path: string): string {
  if (path === "") return "";
  try {
    const { mode } = Deno.statSync(path);
    if (mode === null || (mode & 0o044) === 0) return "";
    return `Others on this machine can read the secret in "${path}": chmod 600 "${path}"`;
  } catch {
    return "";
  }
}
