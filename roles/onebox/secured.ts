// A onebox with authentication or TLS: secrets and certificates are made once, in `security` below its
// directory, and what is there decides how its servers run. The same steps for a real cluster are in
// docs/SECURITY.md.

import { openCluster } from "../../src/client/mod.ts";
import { CLUSTER_USER } from "../../src/schema/access.ts";
import { clientDialSecurity, type DialSecurity } from "../../src/rpc/security.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { makeAuthority, makeCertificate } from "./certificates.ts";

const SERVER_NAME = "pegasus-server";
const ADMIN = "admin";

/** What the files of a onebox say. */
export interface Secured {
  readonly auth: boolean;
  readonly tls: boolean;
}

function pathsIn(dir: string) {
  const at = `${dir}/security`;
  return {
    at,
    secret: `${at}/cluster.secret`,
    password: `${at}/${ADMIN}.password`,
    ca: `${at}/ca.pem`,
    cert: `${at}/${SERVER_NAME}.pem`,
    key: `${at}/${SERVER_NAME}.key`,
  };
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** How the onebox of a directory runs. */
export function securedAs(dir: string): Secured {
  const { secret, cert } = pathsIn(dir);
  return { auth: exists(secret), tls: exists(cert) };
}

/** Makes what is asked for and not there yet. Call it while no server runs. */
export async function secure(dir: string, wanted: Secured): Promise<void> {
  const paths = pathsIn(dir);
  const has = securedAs(dir);
  if (wanted.auth && !has.auth) {
    Deno.mkdirSync(paths.at, { recursive: true, mode: 0o700 });
    writeSecret(paths.password);
    writeSecret(paths.secret);
  }
  if (wanted.tls && !has.tls) {
    await makeAuthority(paths.at);
    await makeCertificate(paths.at, SERVER_NAME, true);
  }
}

function writeSecret(path: string): void {
  const random = crypto.getRandomValues(new Uint8Array(24));
  const text = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  Deno.writeTextFileSync(path, `${text}\n`, { mode: 0o600 });
}

/** Flags of a server. */
export function securityFlags(dir: string, name: string): string[] {
  const { auth, tls } = securedAs(dir);
  const paths = pathsIn(dir);
  return [
    ...(auth
      ? [
        "--auth=required",
        `--cluster-secret-file=${paths.secret}`,
        `--audit-file=${dir}/${name}/log/audit.log`,
      ]
      : []),
    ...(tls ? [`--tls-cert=${paths.cert}`, `--tls-key=${paths.key}`, `--tls-ca=${paths.ca}`] : []),
  ];
}

/** Flags of a shell that logs in as the administrator; "" if nothing is secured. */
export function shellFlags(dir: string): string {
  const { auth, tls } = securedAs(dir);
  const paths = pathsIn(dir);
  return (auth ? ` --user ${ADMIN} --password-file ${paths.password}` : "") +
    (tls ? ` --tls-ca ${paths.ca}` : "");
}

/** How the onebox itself talks to its servers. */
export function ownDial(dir: string): DialSecurity {
  const { auth, tls } = securedAs(dir);
  const paths = pathsIn(dir);
  const ca = tls ? Deno.readTextFileSync(paths.ca) : "";
  return clientDialSecurity(
    auth ? { user: CLUSTER_USER, password: Deno.readTextFileSync(paths.secret).trim() } : undefined,
    tls ? { ca, cert: "", key: "" } : undefined,
  );
}

/** Makes the administrator unless there is one. */
export async function ensureAdmin(dir: string, metas: readonly string[]): Promise<void> {
  const { auth, tls } = securedAs(dir);
  if (!auth) return;
  const paths = pathsIn(dir);
  await using cluster = openCluster({
    meta: metas,
    role: "onebox",
    auth: { user: CLUSTER_USER, password: Deno.readTextFileSync(paths.secret).trim() },
    ...(tls ? { tls: { ca: Deno.readTextFileSync(paths.ca) } } : {}),
  });
  const password = Deno.readTextFileSync(paths.password).trim();
  try {
    await cluster.admin.users.create(ADMIN, { password, admin: true });
  } catch (error) {
    // It exists, perhaps with a password of its own.
    if (!(error instanceof StoreError) || error.code !== Err.INVALID_ARGUMENT) throw error;
  }
}

/** Removes secrets and certificates. */
export function removeSecurity(dir: string): void {
  const { at } = pathsIn(dir);
  if (exists(at)) Deno.removeSync(at, { recursive: true });
}
