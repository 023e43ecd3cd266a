// Keeps the listener of a meta server up to date about users: the leader from its own state, at once;
// a standby, which must know whom to let in as well, from the store. docs/meta.md, "Users".

import type { Coordinator } from "../../src/coordination/coordinator.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { MetaCore } from "../../src/placement/meta.ts";
import { readUsers, USERS_PATH } from "../../src/placement/stored.ts";
import { accessStateOf } from "../../src/placement/users.ts";
import type { AccessBook } from "../../src/rpc/access_book.ts";

/** A standby looks this often, ms. */
const LOOK_MS = 1000;

/** See the file comment. */
export class UserSource {
  readonly #book: AccessBook;
  readonly #coordinator: Coordinator;
  readonly #logger: Logger;
  #core: MetaCore | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isLooking = false;
  #isClosed = false;

  constructor(book: AccessBook, coordinator: Coordinator, logger: Logger) {
    this.#book = book;
    this.#coordinator = coordinator;
    this.#logger = logger;
  }

  /** Begins to look. */
  start(core: MetaCore): void {
    this.#core = core;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    // It may lead already.
    this.changed();
    this.#look();
  }

  stop(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  /** The core stored other users, or has begun to lead. */
  changed(): void {
    const reign = this.#core?.reign;
    if (reign?.started !== true) return;
    // After the answer, which is on its way: whoever changes his own password is cut off by this.
    queueMicrotask(() => this.#book.update(accessStateOf(reign.users)));
  }

  async #look(): Promise<void> {
    if (this.#isLooking || this.#isClosed || this.#core?.role === "leading") return;
    this.#isLooking = true;
    try {
      const node = await this.#coordinator.get(USERS_PATH);
      const version = node === undefined ? 0 : node.version + 1;
      if (this.#isClosed || version === this.#book.version) return;
      const users = node === undefined ? [] : readUsers(node.value);
      this.#book.update({ version, users });
    } catch (error) {
      this.#logger.debug("Users cannot be read from the store", { error });
    } finally {
      this.#isLooking = false;
    }
  }
}
