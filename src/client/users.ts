// Users and their rights, as asked of the meta leader: `cluster.admin.users`. Passwords stay here: what
// is sent is what a server keeps of them (rpc/scram.ts). See docs/client.md, "Users".

import { Err, StoreError } from "../base/errors.ts";
import { makeVerifier } from "../rpc/scram.ts";
import type { RightName, Verifier } from "../schema/access.ts";
import { DropUser, Grant, ListUsers, PutUser, type UserInfo } from "../schema/access_rpc.ts";
import type { Rpc } from "../schema/rpc.ts";
import type { MetaClient } from "./meta_client.ts";

/** Shorter passwords are refused: they can be guessed. */
const PASSWORD_CHARACTERS_MIN = 8;
const PASSWORD_CHARACTERS_MAX = 1024;

/** See the file comment. All methods throw {@link StoreError}. */
export class Users {
  readonly #meta: MetaClient;
  readonly #timeoutMs: number;

  constructor(meta: MetaClient, timeoutMs: number) {
    this.#meta = meta;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Makes a user.
   *
   * @param options.password Absent: the user comes with a certificate of this name.
   * @param options.admin May do everything. @default false
   */
  async create(
    name: string,
    options: { readonly password?: string; readonly admin?: boolean },
  ): Promise<void> {
    const { password, admin = false } = options;
    const verifier = password === undefined ? undefined : verifierOf(password);
    await this.#change(PutUser, { name, action: "create", admin, verifier });
  }

  /** Gives a user another password, and ends the connections that came with the old one. */
  async setPassword(name: string, password: string): Promise<void> {
    const verifier = verifierOf(password);
    await this.#change(PutUser, { name, action: "password", admin: false, verifier });
  }

  /** Removes a user. */
  async drop(name: string): Promise<void> {
    await this.#change(DropUser, { name });
  }

  async list(): Promise<UserInfo[]> {
    const options = { timeoutMs: this.#timeoutMs, isRead: true };
    return (await this.#meta.call(ListUsers, {}, options)).users;
  }

  /** Gives rights on a table; without one `admin` of the whole cluster. */
  async grant(user: string, rights: readonly RightName[], table = ""): Promise<void> {
    await this.#change(Grant, { user, rights: [...rights], table, revoke: false });
  }

  /** Takes rights away. */
  async revoke(user: string, rights: readonly RightName[], table = ""): Promise<void> {
    await this.#change(Grant, { user, rights: [...rights], table, revoke: true });
  }

  #change<Q, A>(declared: Rpc<Q, A>, request: Q): Promise<A> {
    return this.#meta.call(declared, request, { timeoutMs: this.#timeoutMs });
  }
}

function verifierOf(password: string): Verifier {
  const { length } = password;
  if (length >= PASSWORD_CHARACTERS_MIN && length <= PASSWORD_CHARACTERS_MAX) {
    return makeVerifier(password);
  }
  throw new StoreError(
    Err.INVALID_ARGUMENT,
    `The password has ${length} characters, expected ${PASSWORD_CHARACTERS_MIN} to ` +
      `${PASSWORD_CHARACTERS_MAX}`,
  );
}
