// What the shell needs from the outside world, as an interface, so that tests can hold a shell in their hand;
// `terminalIo` is the real one. The only file of the shell that touches process and disk, but for
// line_editor.ts and offline.ts.

import dns from "node:dns/promises";
import { isIP } from "node:net";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { fileProblem } from "../file_problem.ts";

/** Receives the text of an output file. */
export interface TextSink {
  write(text: string): Promise<void>;
  /** The text is whole: only now it stands in the file. */
  close(): Promise<void>;
  /** The text will never be whole: the file is as it was. */
  discard(): Promise<void>;
}

/** A file being read in chunks. */
export interface ByteSource {
  /** Bytes in all; 0 if unknown. */
  readonly size: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** See the file comment. */
export interface ShellIo {
  out(text: string): void;
  err(text: string): void;
  readonly inputIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  /** Escape sequences for colours are welcome. */
  readonly useColour: boolean;
  /** Asks the person at the terminal, never on an output that goes elsewhere; absent or `undefined`: there is nobody. */
  ask?(question: string): Promise<string | undefined>;
  /** Asks for something that is not shown while it is typed; absent: there is nobody. */
  askSecret?(question: string): Promise<string>;
  /** The name behind an IP address; `undefined` if nobody knows one. Absent: nobody can be asked. */
  hostNameOf?(ip: string): Promise<string | undefined>;
  /** Everything on standard input. */
  readInput(): Promise<string>;
  openFile(path: string): Promise<ByteSource>;
  createFile(path: string): Promise<TextSink>;
}

/** The process's streams and files. */
export function terminalIo(): ShellIo {
  const errIsTerminal = Deno.stderr.isTerminal();
  const inputIsTerminal = Deno.stdin.isTerminal();
  const outIsTerminal = Deno.stdout.isTerminal();
  // Where a person sees a question: what goes into a file or a pipe is none of it.
  const screen = errIsTerminal ? Deno.stderr : outIsTerminal ? Deno.stdout : undefined;
  const isAttended = inputIsTerminal && screen !== undefined;
  const isPlain = (environment("NO_COLOR") ?? "") !== "" || environment("TERM") === "dumb";
  return {
    out: (text) => writeAll(Deno.stdout, text),
    err: (text) => writeAll(Deno.stderr, text),
    inputIsTerminal,
    errIsTerminal,
    useColour: errIsTerminal && outIsTerminal && !isPlain,
    ...(isAttended
      ? {
        ask: (question: string) => readTyped(screen, question),
        askSecret: (question: string) => readHidden(screen, question),
      }
      : {}),
    hostNameOf,
    readInput: async () => await new Response(Deno.stdin.readable).text(),
    async openFile(path) {
      try {
        const { size } = await Deno.stat(path);
        const file = await Deno.open(path);
        return { size, chunks: file.readable };
      } catch (error) {
        throw fileProblem("read", `"${path}"`, error);
      }
    },
    createFile,
  };
}

/**
 * Opens a file to be written. What stands there stays until the new text is whole: that grows beside it, under
 * PATH.part. Only what cannot be replaced, like a pipe, is written to at once.
 */
export async function createFile(path: string): Promise<TextSink> {
  return await inWords(path, async () => {
    const place = await placeOf(path);
    const part = place === undefined ? path : `${place.target}.part`;
    const isNew = place !== undefined;
    const file = await Deno.open(part, { write: true, create: isNew, truncate: isNew });
    if (place === undefined) return new PipeSink(path, file);
    if (place.mode !== undefined) await Deno.chmod(part, place.mode);
    return new FileSink(path, file, part, place.target);
  });
}

/** What is read while it is written. */
class PipeSink implements TextSink {
  protected readonly path: string;
  protected readonly file: Deno.FsFile;

  constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.file = file;
  }

  async write(text: string): Promise<void> {
    const bytes = utf8(text);
    await inWords(this.path, async () => {
      for (let at = 0; at < bytes.length;) at += await this.file.write(bytes.subarray(at));
    });
  }

  async close(): Promise<void> {
    this.file.close();
  }

  async discard(): Promise<void> {
    this.file.close();
  }
}

/** A file that gets its text, or none of it. */
class FileSink extends PipeSink {
  readonly #part: string;
  readonly #target: string;
  #isOpen = true;

  constructor(path: string, file: Deno.FsFile, part: string, target: string) {
    super(path, file);
    this.#part = part;
    this.#target = target;
  }

  override async close(): Promise<void> {
    await inWords(this.path, async () => {
      // A disk may be full only now.
      await this.file.sync();
      this.#close();
      await Deno.rename(this.#part, this.#target);
    });
  }

  override async discard(): Promise<void> {
    this.#close();
    await Deno.remove(this.#part);
  }

  #close(): void {
    if (this.#isOpen) this.file.close();
    this.#isOpen = false;
  }
}

/** @throws {Error} That says which file, and what is wrong with it */
async function inWords<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw fileProblem("write", `"${path}"`, error);
  }
}

/** The file behind a path, with its rights if it exists; `undefined`: it is none, and cannot be replaced. */
async function placeOf(path: string): Promise<{ target: string; mode?: number } | undefined> {
  let found: Deno.FileInfo;
  try {
    found = await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { target: path };
    throw error;
  }
  if (!found.isFile) return undefined;
  // Whoever may not write to a file may not replace it.
  (await Deno.open(path, { write: true })).close();
  const target = await Deno.realPath(path);
  return found.mode === null ? { target } : { target, mode: found.mode & 0o777 };
}

/** What takes text at once. */
interface Output {
  writeSync(bytes: Uint8Array): number;
}

/** Reads a line from the terminal, which lets it be edited; what stands there at Ctrl-D. */
async function readTyped(screen: Output, question: string): Promise<string> {
  writeAll(screen, question);
  const typed: number[] = [];
  // A terminal gives no more than a line at a time.
  const chunk = new Uint8Array(4096);
  for (;;) {
    const count = await Deno.stdin.read(chunk) ?? 0;
    for (const byte of chunk.subarray(0, count)) {
      if (byte === 10) return fromUtf8(Uint8Array.from(typed));
      typed.push(byte);
    }
    if (count === 0) return fromUtf8(Uint8Array.from(typed));
  }
}

/** Reads a line from the terminal without showing it. @throws {Error} After Ctrl-C or Ctrl-D */
async function readHidden(screen: Output, question: string): Promise<string> {
  // In this order: what is typed as soon as the question stands there is not shown either.
  Deno.stdin.setRaw(true);
  try {
    writeAll(screen, question);
    const typed: number[] = [];
    const chunk = new Uint8Array(256);
    for (;;) {
      const count = await Deno.stdin.read(chunk);
      for (const byte of chunk.subarray(0, count ?? 0)) {
        if (byte === 13 || byte === 10) return fromUtf8(Uint8Array.from(typed));
        if (byte === 3 || byte === 4) throw new Error("No password was given");
        // Backspace takes a whole character: its bytes above 0x7f follow the first one.
        if (byte !== 127 && byte !== 8) typed.push(byte);
        else while (((typed.pop() ?? 0) & 0xc0) === 0x80);
      }
      if (count === null) throw new Error("No password was given");
    }
  } finally {
    Deno.stdin.setRaw(false);
    writeAll(screen, "\n");
  }
}

/** As the system's own resolver knows it: hosts file, DNS. */
async function hostNameOf(ip: string): Promise<string | undefined> {
  if (isIP(ip) === 0) return undefined;
  try {
    // The port is of no interest, but must be one.
    const { hostname } = await dns.lookupService(ip, 80);
    return hostname === ip ? undefined : hostname;
  } catch {
    return undefined;
  }
}

/** A variable of the environment; `undefined` also if reading it is not permitted. */
export function environment(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return undefined;
  }
}

/** Exit status of a program that wrote to nobody, as shells have it: 128 + SIGPIPE. */
const STATUS_NO_READER = 141;

function writeAll(stream: Output, text: string): void {
  const bytes = utf8(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += stream.writeSync(bytes.subarray(at));
    } catch (error) {
      // `shell ... | head`: the reader has seen enough. What was still to be done is not done.
      if (error instanceof Deno.errors.BrokenPipe) Deno.exit(STATUS_NO_READER);
      // A pipe that is full for the moment; there is nothing to do meanwhile.
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
    }
  }
}

/** Lines of a source without their line ends; only \n and \r\n end one. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  let held: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      held.push(chunk.subarray(from, end));
      yield joinLine(held);
      held = [];
      from = end + 1;
    }
    if (from < chunk.length) held.push(chunk.slice(from));
  }
  if (held.length > 0) yield joinLine(held);
}

function joinLine(parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const line = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    line.set(part, at);
    at += part.length;
  }
  return line.at(-1) === 13 ? line.subarray(0, -1) : line;
}
