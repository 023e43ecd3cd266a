// How the ends of connections are told apart and protected: what a process is given (plain data that
// may go to another thread), and what its clients and listeners make of it. docs/SECURITY.md.

import { CLUSTER_USER } from "../schema/access.ts";
import type { AccessBook } from "./access_book.ts";
import { type Credentials, Prover } from "./scram.ts";

/** Certificates, as PEM texts. */
export interface TlsMaterial {
  /** Our certificate and its key; "" = a client that shows none. */
  readonly cert: string;
  readonly key: string;
  /** Who must have signed the other end's certificate; "" = the authorities of the system. */
  readonly ca: string;
}

/** Whether an accepting end asks who is there. `optional`: asks, and lets everybody do everything. */
export type AuthMode = "off" | "optional" | "required";

/** What a process is given. */
export interface SecurityOptions {
  readonly auth: AuthMode;
  /** What servers know together; "" = none. */
  readonly clusterSecret: string;
  /** Absent: connections are plain TCP. */
  readonly tls: TlsMaterial | undefined;
  /** Common name of the certificates of servers. */
  readonly tlsServerName: string;
}

/** Nobody is asked, nothing is encrypted. */
export const OPEN: SecurityOptions = {
  auth: "off",
  clusterSecret: "",
  tls: undefined,
  tlsServerName: "pegasus-server",
};

/** The dialing end's part. */
export interface DialSecurity {
  readonly tls: TlsMaterial | undefined;
  /** Absent: nothing but perhaps a certificate says who we are. */
  readonly prover: Prover | undefined;
  /** The acceptor must prove that it knows our verifier. */
  readonly strict: boolean;
}

/** The accepting end's part. */
export interface AcceptSecurity {
  readonly tls: TlsMaterial | undefined;
  readonly auth: AuthMode;
  readonly tlsServerName: string;
  readonly book: AccessBook;
}

/** What a server uses when it dials other servers. */
export function serverDialSecurity(options: SecurityOptions): DialSecurity {
  const { clusterSecret, tls, auth } = options;
  const credentials = { user: CLUSTER_USER, password: clusterSecret };
  const prover = clusterSecret === "" ? undefined : new Prover(credentials);
  // While authentication is being switched on, some servers cannot answer yet.
  return { tls, prover, strict: auth === "required" };
}

/** What a client uses. */
export function clientDialSecurity(
  credentials: Credentials | undefined,
  tls: TlsMaterial | undefined,
): DialSecurity {
  return {
    tls,
    prover: credentials === undefined ? undefined : new Prover(credentials),
    strict: true,
  };
}

/** What a listener uses. `book` learns the users from meta. */
export function acceptSecurity(options: SecurityOptions, book: AccessBook): AcceptSecurity {
  const { tls, auth, tlsServerName } = options;
  return { tls, auth, tlsServerName, book };
}
