// What an accepting end knows of users: their verifiers and ranks, as meta told last, and the secret
// of the cluster. One per listener's thread. Invariant: a principal that was handed out follows the
// book: who loses a rank loses it on connections that stand, who is dropped or gets another password
// is cut off. docs/protocol.md, "Who is it".

import {
  type AccessState,
  CLUSTER_USER,
  NO_USERS,
  type Principal,
  Rank,
  type UserRecord,
  type Verifier,
} from "../schema/access.ts";
import { fakeVerifier, randomPlain, sameBytes, secretVerifier } from "./scram.ts";
import type { AuthMode } from "./security.ts";

/** Somebody who came in, and what let him in. */
export interface Admitted {
  readonly principal: Principal;
  /** The verifier he proved; absent: a certificate. */
  readonly proven: Verifier | undefined;
}

/** See the file comment. */
export class AccessBook {
  readonly #secret: Verifier | undefined;
  readonly #users = new Map<string, UserRecord>();
  readonly #fakeKey = randomPlain(32);
  readonly #listeners = new Set<() => void>();
  #version = 0;

  /** @param clusterSecret "" = servers come with certificates, or are not asked. */
  constructor(clusterSecret = "") {
    this.#secret = clusterSecret === "" ? undefined : secretVerifier(clusterSecret);
  }

  /** Of the users known here. */
  get version(): number {
    return this.#version;
  }

  /** Takes what meta says. */
  update({ version, users }: AccessState = NO_USERS): void {
    this.#version = version;
    this.#users.clear();
    for (const user of users) this.#users.set(user.name, user);
    for (const listener of this.#listeners) listener();
  }

  /** Runs after every change. @returns Stops it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What a dialer who calls himself `name` has to prove. Unknown names get a question like any other. */
  verifierOf(name: string): { readonly verifier: Verifier; readonly known: boolean } {
    const own = name === CLUSTER_USER ? this.#secret : this.#users.get(name)?.verifier;
    return { verifier: own ?? fakeVerifier(this.#fakeKey, name), known: own !== undefined };
  }

  /** Somebody who has proven that he is `name`. */
  admit(name: string, proven: Verifier | undefined, mode: AuthMode): Admitted {
    return { principal: { name, rank: this.#rankOf(name, mode) }, proven };
  }

  /** Brings an admitted principal up to date. @returns Why he has to leave; `undefined` if he may stay. */
  recheck({ principal, proven }: Admitted, mode: AuthMode): string | undefined {
    const { name } = principal;
    if (name === CLUSTER_USER || name === "") return undefined;
    const known = this.#users.get(name);
    if (proven !== undefined) {
      if (known === undefined) return `User "${name}" was dropped`;
      const now = known.verifier?.storedKey;
      if (now === undefined || !sameBytes(now, proven.storedKey)) {
        return `The password of user "${name}" was changed`;
      }
    }
    principal.rank = this.#rankOf(name, mode);
    return undefined;
  }

  #rankOf(name: string, mode: AuthMode): number {
    // While authentication is being switched on, names are known and nothing is forbidden.
    if (mode !== "required" || name === CLUSTER_USER) return Rank.SERVER;
    return this.#users.get(name)?.admin === true ? Rank.ADMIN : Rank.USER;
  }
}
