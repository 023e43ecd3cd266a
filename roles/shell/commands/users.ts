// Commands on users and their rights. docs/SECURITY.md explains the rights.

import type { RightName } from "../../../src/client/mod.ts";
import { RIGHT_BY_NAME, tableRights } from "../../../src/schema/access.ts";
import { readPassword } from "../../client_security.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, type Flag, type Positional, UsageProblem } from "../declare.ts";
import { counted, formatTime, type Json } from "../render.ts";

const USER: Positional = { name: "user", type: "text", brief: "Name of the user" };
const PASSWORD_FILE: Flag = {
  name: "password_file",
  type: "file",
  brief: "File with the password; otherwise the terminal asks for it",
};
const SOON = "Servers know it within a few seconds";

/** The password of the file, or what is typed twice. */
async function passwordOf(context: Context, args: Args, user: string): Promise<string> {
  const file = args.text("password_file");
  if (file !== undefined) return readPassword(file);
  const ask = context.askSecret;
  if (ask === undefined) {
    throw new UsageProblem("Nobody can be asked for the password: add --password_file FILE");
  }
  const password = await ask(`New password of ${user}: `);
  if (await ask("The same again: ") !== password) throw new Error("The passwords differ");
  return password;
}

const createUser: Command = {
  name: "create_user",
  changes: true,
  group: "users",
  brief: "Make a user who logs in with a password, or with a certificate",
  examples: ["create_user ada", "create_user ops --admin --password_file secret.txt"],
  positionals: [USER],
  flags: [
    { name: "admin", type: "bool", brief: "The user may do everything" },
    PASSWORD_FILE,
    { name: "no_password", type: "bool", brief: "Only a certificate of this name logs in" },
  ],
  async run(context, args) {
    const user = args.needText("user");
    if (args.has("no_password") && args.has("password_file")) {
      throw new UsageProblem("Choose one of --no_password and --password_file");
    }
    const password = args.has("no_password") ? {} : {
      password: await passwordOf(context, args, user),
    };
    await context.admin.users.create(user, { admin: args.has("admin"), ...password });
    context.answer("OK", `OK, user "${user}" exists`);
    context.note(SOON);
  },
};

const setPassword: Command = {
  name: "set_password",
  changes: true,
  group: "users",
  brief: "Change the password of a user; connections that came with the old one end",
  examples: ["set_password ada"],
  positionals: [USER],
  flags: [PASSWORD_FILE],
  async run(context, args) {
    const user = args.needText("user");
    await context.admin.users.setPassword(user, await passwordOf(context, args, user));
    context.answer("OK", "OK");
    context.note(SOON);
  },
};

const dropUser: Command = {
  name: "drop_user",
  changes: true,
  group: "users",
  brief: "Remove a user who has no rights on tables any more",
  examples: ["drop_user ada"],
  positionals: [USER],
  flags: [],
  confirm: (args) => `Remove user "${args.needText("user")}"?`,
  async run(context, args) {
    await context.admin.users.drop(args.needText("user"));
    context.answer("OK", "OK");
    context.note(SOON);
  },
};

const listUsers: Command = {
  name: "list_users",
  group: "users",
  brief: "List the users, and what tables allow them",
  positionals: [],
  flags: [],
  async run(context) {
    const [users, { tables }] = await Promise.all([
      context.admin.users.list(),
      context.admin.listTables("available"),
    ]);
    const given = tables.map(({ name, envs }) => ({ name, rights: tableRights(envs) }));
    const head = ["user", "admin", "password", "create_time", "rights"];
    const rows = users.map((user): Json[] => {
      const rights = given.map(({ name, rights }) =>
        [name, namesOfBits(rights.users.get(user.name))] as const
      )
        .filter(([, names]) => names.length > 0);
      return [
        user.name,
        user.admin,
        user.hasPassword,
        formatTime(user.createdAt),
        context.json
          ? Object.fromEntries(rights)
          : rights.map(([table, names]) => `${table}: ${names.join(",")}`).join("; "),
      ];
    });
    context.answerTable(head, rows);
    context.note(counted(users.length, "user"));
    const open = given.filter(({ rights }) => !rights.restricted).map(({ name }) => name);
    if (open.length > 0) context.note(`Open to every user: ${open.join(", ")}`);
  },
};

function namesOfBits(bits = 0): RightName[] {
  const names = Object.keys(RIGHT_BY_NAME) as RightName[];
  return names.filter((name) => (bits & RIGHT_BY_NAME[name]) !== 0);
}

const RIGHTS: Positional = {
  name: "rights",
  type: "text",
  brief: "read, write, admin; several with commas between",
};
const TABLE: Positional = {
  name: "table",
  type: "table",
  brief: "The table; without one admin means the whole cluster",
  optional: true,
};

function rightsOf(args: Args): RightName[] {
  const words = args.needText("rights").split(",").map((word) => word.trim());
  const known = Object.keys(RIGHT_BY_NAME);
  const wrong = words.find((word) => !known.includes(word));
  if (wrong === undefined) return words as RightName[];
  throw new UsageProblem(`Right "${wrong}": expected ${known.join(", ")}`);
}

const grant: Command = {
  name: "grant",
  changes: true,
  group: "users",
  brief: "Allow a user to read, write or administer a table",
  details: [
    "A table nobody was granted read or write on is open to every user; the first grant closes it to",
    "the others. Conditional writes and incr need read and write.",
  ],
  examples: ["grant ada write users"],
  positionals: [USER, RIGHTS, TABLE],
  flags: [],
  async run(context, args) {
    const table = args.text("table") ?? "";
    await context.admin.users.grant(args.needText("user"), rightsOf(args), table);
    context.answer("OK", "OK");
    context.note(SOON);
  },
};

const revoke: Command = {
  name: "revoke",
  changes: true,
  group: "users",
  brief: "Take back what grant allowed",
  details: ["A table stays closed when the last right on it is taken back."],
  examples: ["revoke ada write users"],
  positionals: [USER, RIGHTS, TABLE],
  flags: [],
  async run(context, args) {
    const table = args.text("table") ?? "";
    await context.admin.users.revoke(args.needText("user"), rightsOf(args), table);
    context.answer("OK", "OK");
    context.note(SOON);
  },
};

/** See the file comment. */
export const USER_COMMANDS: readonly Command[] = [
  createUser,
  setPassword,
  dropUser,
  listUsers,
  grant,
  revoke,
];
