// Import and export of row files.

import type { Table } from "../../../src/client/mod.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import type { Context } from "../context.ts";
import type { Command, Flag } from "../declare.ts";
import {
  CSV_HEAD,
  type FileRecord,
  type Format,
  formatOf,
  FORMATS,
  readRecords,
  writeRow,
} from "../formats.ts";
import { linesOf } from "../io.ts";
import { COPY_COMMANDS } from "./copy.ts";
import { COUNT_COMMANDS } from "./count.ts";
import { counted, type Json } from "../render.ts";
import { boundedInt } from "./scan_flags.ts";

const PROBLEMS_SHOWN_MAX = 20;
/** Each write on its way holds its row; more of them than this make nothing faster. */
const CONCURRENCY_MAX = 10_000;

const FORMAT: Flag = {
  name: "format",
  short: "f",
  type: "text",
  brief: "How the file is written",
  choices: FORMATS,
  default: "csv if the name ends so, else jsonl",
};

/** What an import has done so far. */
class ImportState {
  rows = 0;
  failed = 0;
  position = 0;
  shouldStop = false;
  readonly problems: { readonly line: number; readonly problem: string }[] = [];

  fail(line: number, problem: string): void {
    this.failed++;
    if (this.problems.length < PROBLEMS_SHOWN_MAX) this.problems.push({ line, problem });
  }
}

const importCommand: Command = {
  name: "import",
  isLong: true,
  changes: true,
  group: "bulk",
  brief: "Store the rows of a file",
  details: [
    'jsonl: one {"hash_key":"h","sort_key":"s","value":"v","ttl":60} per line; sort_key and ttl may',
    'be absent; bytes that are not text are written as {"base64":"..."}.',
    "csv: a head line with hash_key,sort_key,value,ttl in any order, or none in this order.",
    "A bad line is reported with its number; the others are stored all the same. Importing a file",
    "again after a failure is harmless: rows are replaced.",
  ],
  examples: ["import rows.jsonl", "import rows.csv -c 32 --stop_on_error"],
  positionals: [{ name: "file", type: "file", brief: "The file" }],
  flags: [
    FORMAT,
    {
      name: "concurrency",
      short: "c",
      type: "int",
      brief: "Writes on their way at the same time",
      default: "128",
    },
    { name: "stop_on_error", type: "bool", brief: "Stop at the first bad line or failed write" },
  ],
  needsTable: true,
  async run(context, args) {
    const path = args.needText("file");
    const width = boundedInt(args, "concurrency", 1, CONCURRENCY_MAX) ?? 128;
    const format = (args.text("format") ?? formatOf(path)) as Format;
    const source = await context.io.openFile(path);
    const progress = context.progress(source.size);
    const state = new ImportState();
    const records = readRecords(linesOf(source.chunks), format);
    const { table } = context;
    const stopOnError = args.has("stop_on_error");
    const worker = async () => {
      for await (const record of records) {
        await storeRecord(table, record, state);
        if (stopOnError && state.failed > 0) state.shouldStop = true;
        if (state.shouldStop || context.signal.aborted) return;
        progress.update(state.position, state.rows);
      }
    };
    const startedAt = performance.now();
    // The workers share one generator, which hands each record to exactly one of them.
    await Promise.all(Array.from({ length: width }, worker));
    progress.clear();
    report(context, state, (performance.now() - startedAt) / 1000);
  },
};

async function storeRecord(table: Table, record: FileRecord, state: ImportState): Promise<void> {
  const { row } = record;
  state.position = Math.max(state.position, record.position);
  if (row === undefined) return state.fail(record.line, record.problem ?? "Not a row");
  try {
    await table.set(row.hashKey, row.sortKey, row.value, { ttl: row.ttl });
    state.rows++;
  } catch (error) {
    state.fail(record.line, error instanceof Error ? error.message : String(error));
  }
}

function report(context: Context, state: ImportState, seconds: number): void {
  const { rows, failed, problems } = state;
  problems.sort((a, b) => a.line - b.line);
  for (const { line, problem } of problems) context.note(`Line ${line}: ${problem}`);
  if (failed > problems.length) context.note(`... and ${failed - problems.length} more`);
  context.isNegative = failed > 0 || context.signal.aborted;
  const rate = seconds > 0 ? Math.round(rows / seconds) : rows;
  const rest = failed > 0 ? `, ${counted(failed, "line")} failed` : "";
  const ending = context.signal.aborted ? ", interrupted" : "";
  const value = {
    rows,
    failed,
    seconds: Math.round(seconds * 1000) / 1000,
    problems: problems as Json,
  };
  context.answer(value, `${counted(rows, "row")} stored${rest}${ending} (${rate} rows/s)`);
}

const exportCommand: Command = {
  name: "export",
  isLong: true,
  group: "bulk",
  brief: "Write all rows of the table into a file",
  details: [
    "Rows written meanwhile may or may not be in it. The life left is kept with each row.",
    "They grow in FILE.part, which replaces the file when it is whole.",
  ],
  examples: ["export rows.jsonl"],
  positionals: [{ name: "file", type: "file", brief: "The file; it is replaced" }],
  flags: [FORMAT, {
    name: "parallel",
    type: "int",
    brief: "Partitions read at the same time",
    default: "4",
  }],
  needsTable: true,
  async run(context, args) {
    const path = args.needText("file");
    const format = (args.text("format") ?? formatOf(path)) as Format;
    const { table } = context;
    await context.admin.tableConfig(table.name);
    const total = context.io.errIsTerminal
      ? await context.unlessInterrupted(table.fullScan().count())
      : 0;
    const progress = context.progress(total);
    let rows = 0;
    const sink = await context.io.createFile(path);
    try {
      if (format === "csv") await sink.write(`${CSV_HEAD}\n`);
      const scan = table.fullScan({ returnExpireTs: true, parallel: args.int("parallel") ?? 4 });
      for await (const batch of scan.batches()) {
        const now = secondsSince2016(Date.now());
        let text = "";
        for (const { hashKey, sortKey, value, expireTs = 0 } of batch) {
          const ttl = expireTs === 0 ? 0 : Math.max(1, expireTs - now);
          text += `${writeRow({ hashKey, sortKey, value, ttl }, format)}\n`;
        }
        await sink.write(text);
        rows += batch.length;
        progress.update(rows, rows);
        if (context.signal.aborted) throw new Error(`Interrupted, ${path} is as it was`);
      }
      await sink.close();
    } catch (error) {
      // What went wrong first is what is to be told.
      await sink.discard().catch(() => {});
      throw error;
    } finally {
      progress.clear();
    }
    context.answer({ rows, file: path }, `${counted(rows, "row")} written to ${path}`);
  },
};

/** See the file comment. */
export const BULK_COMMANDS: readonly Command[] = [
  importCommand,
  exportCommand,
  ...COPY_COMMANDS,
  ...COUNT_COMMANDS,
];
