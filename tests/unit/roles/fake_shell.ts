// The surroundings of a shell in memory: nobody at the terminal, no files, and what it printed.

import type { ShellIo } from "../../../roles/shell/io.ts";
import { runShell } from "../../../roles/shell/main_shell.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import type { RpcClient } from "../../../src/rpc/contract.ts";

/** How a shell ended and what it printed. */
export type ShellRun = [status: number, out: string, err: string];

/** Surroundings that remember what was printed. */
export function memoryIo(): {
  readonly io: ShellIo;
  readonly printed: { out: string; err: string };
} {
  const printed = { out: "", err: "" };
  const io: ShellIo = {
    out: (text) => void (printed.out += text),
    err: (text) => void (printed.err += text),
    inputIsTerminal: false,
    errIsTerminal: false,
    useColour: false,
    readInput: () => Promise.resolve(""),
    openFile: () => Promise.reject(new Error("No files here")),
    createFile: () => Promise.reject(new Error("No files here")),
  };
  return { io, printed };
}

/** Runs a shell on a fake cluster. */
export async function runOn(fake: RpcClient, ...args: string[]): Promise<ShellRun> {
  const { io, printed } = memoryIo();
  const open = (options: ConstructorParameters<typeof Cluster>[1]) => new Cluster(fake, options);
  const status = await runShell(args, { io, open });
  return [status, printed.out, printed.err];
}
