// SCRAM-SHA-256 (RFC 5802, RFC 7677) as both ends compute it: a password, or the secret of a cluster,
// is proven without being sent, and the acceptor proves that it knows the verifier. The messages are
// ours (docs/protocol.md, "Who is it"); the keys are the RFC's. Invariant: a password exists only
// where it was typed or read; what a server keeps and what travels do not allow to log in.

import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import { utf8 } from "../base/bytes.ts";
import type { Verifier } from "../schema/access.ts";
import { encode } from "../schema/codec.ts";
import { bytes, str, struct, u32 } from "../schema/field.ts";

/** Iterations of new verifiers: 7 ms for whoever types a password, nothing for servers. */
const ITERATIONS = 15_000;
/** What a dialer accepts: fewer make guessing cheap, more would let a false server keep it busy. */
const ITERATIONS_MIN = 4096;
const ITERATIONS_MAX = 200_000;
const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** Random bytes of each end. */
export const NONCE_BYTES = 18;
/** Salted passwords a dialer remembers: one per user and server state is usual. */
const CACHE_MAX = 16;

/** Who proves something, by what. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** The acceptor's question. */
export const challenge = struct({ nonce: bytes, salt: bytes, iterations: u32 });
/** The dialer's answer. */
export const proof = struct({ proof: bytes });

/** Everything both ends must agree on: a changed claim makes the proof wrong. */
const authMessage = struct({
  cluster: str,
  node: str,
  role: str,
  user: str,
  dialerNonce: bytes,
  acceptorNonce: bytes,
  salt: bytes,
  iterations: u32,
});

/** What the proof speaks about. */
export interface Exchange {
  readonly cluster: string;
  readonly node: string;
  readonly role: string;
  readonly user: string;
  readonly dialerNonce: Uint8Array;
  readonly acceptorNonce: Uint8Array;
  readonly salt: Uint8Array;
  readonly iterations: number;
}

/** Fresh random bytes, plain: never a Buffer. */
export function randomPlain(count: number): Uint8Array {
  return plain(randomBytes(count));
}

function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer);
}

function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return plain(createHmac("sha256", key).update(data).digest());
}

function hash(data: Uint8Array): Uint8Array {
  return plain(createHash("sha256").update(data).digest());
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ b[i]!);
}

function salted(password: string, salt: Uint8Array, iterations: number): Uint8Array {
  // One text, one password, however its letters were composed.
  return plain(pbkdf2Sync(password.normalize("NFKC"), salt, iterations, KEY_BYTES, "sha256"));
}

const CLIENT_KEY = utf8("Client Key");
const SERVER_KEY = utf8("Server Key");

/** What a server keeps of a password. */
export function makeVerifier(
  password: string,
  salt: Uint8Array = randomPlain(SALT_BYTES),
  iterations: number = ITERATIONS,
): Verifier {
  const key = salted(password, salt, iterations);
  return {
    salt,
    iterations,
    storedKey: hash(hmac(key, CLIENT_KEY)),
    serverKey: hmac(key, SERVER_KEY),
  };
}

/** The verifier of a cluster's secret; every server computes it from its own file. */
export function secretVerifier(secret: string): Verifier {
  return makeVerifier(secret, utf8("pegasus cluster secret"), ITERATIONS_MIN);
}

/** A verifier nobody knows the password of, the same for each question about the same name. */
export function fakeVerifier(key: Uint8Array, user: string): Verifier {
  const [a, b, c] = ["salt", "stored", "server"].map((use) => hmac(key, utf8(`${use} ${user}`)));
  return { salt: a!.slice(0, SALT_BYTES), iterations: ITERATIONS, storedKey: b!, serverKey: c! };
}

/** Whether the dialer's proof is right. */
export function isProven(verifier: Verifier, exchange: Exchange, given: Uint8Array): boolean {
  if (given.length !== KEY_BYTES || verifier.storedKey.length !== KEY_BYTES) return false;
  const signature = hmac(verifier.storedKey, encode(authMessage, exchange));
  return timingSafeEqual(hash(xor(given, signature)), verifier.storedKey);
}

/** The acceptor's own proof. */
export function signatureOf(verifier: Verifier, exchange: Exchange): Uint8Array {
  return hmac(verifier.serverKey, encode(authMessage, exchange));
}

/** Proves the same credentials to every server. */
export class Prover {
  readonly user: string;
  readonly #password: string;
  readonly #salted = new Map<string, Uint8Array>();

  constructor({ user, password }: Credentials) {
    this.user = user;
    this.#password = password;
  }

  /** Why a question is not answered; `undefined` if it is. */
  refusal({ iterations, salt }: { iterations: number; salt: Uint8Array }): string | undefined {
    if (iterations >= ITERATIONS_MIN && iterations <= ITERATIONS_MAX && salt.length > 0) return;
    return `The server asks for ${iterations} iterations and ${salt.length} bytes of salt, ` +
      `expected ${ITERATIONS_MIN} to ${ITERATIONS_MAX} and some`;
  }

  /** The dialer's proof, and what the acceptor must answer to it. */
  prove(exchange: Exchange): { readonly proof: Uint8Array; readonly signature: Uint8Array } {
    const key = this.#key(exchange.salt, exchange.iterations);
    const message = encode(authMessage, exchange);
    const clientKey = hmac(key, CLIENT_KEY);
    return {
      proof: xor(clientKey, hmac(hash(clientKey), message)),
      signature: hmac(hmac(key, SERVER_KEY), message),
    };
  }

  #key(salt: Uint8Array, iterations: number): Uint8Array {
    const name = `${iterations} ${salt.join()}`;
    let key = this.#salted.get(name);
    if (key === undefined) {
      if (this.#salted.size >= CACHE_MAX) this.#salted.clear();
      key = salted(this.#password, salt, iterations);
      this.#salted.set(name, key);
    }
    return key;
  }
}

/** Whether two proofs are equal, in a time that tells nothing. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
