// deno task fuzz: hostile bytes against everything that reads bytes of others. Page: docs/testing.md, "Fuzzing".

import { flagsOrExit, namesOf, type Usage } from "../flags.ts";
import type { FuzzNews, FuzzOrder } from "./fuzz_worker.ts";
import { TARGETS } from "./targets.ts";

/** No news for so long, ms: an input never ends. */
const SILENCE_MS = 20_000;
const INPUT_BYTES_MAX = 128 * 1024;

const NAMES = TARGETS.map(({ name }) => name);

const USAGE: Usage = {
  task: "fuzz",
  summary: "Throws hostile bytes at everything that reads bytes of others.",
  flags: {
    "--minutes": { value: "M", help: "how long in all (1)" },
    "--cases": { value: "N", help: "so many per target, instead of a time" },
    "--target": { value: "A,B", help: `only these of ${NAMES.join(", ")}` },
    "--seed": { value: "S", help: "another stream of inputs (1)" },
    "--input": {
      value: "FILE",
      help: "with --target: this input alone, as a failure has written it",
    },
  },
  exitCodes:
    "Exit codes: 0 no rule was broken; 1 one was, and the input is in a file that --input " +
    "takes; 2 wrong flags.",
};

/** Runs one target. @returns False if a rule was broken. */
function run(order: FuzzOrder): Promise<boolean> {
  const current = new SharedArrayBuffer(INPUT_BYTES_MAX);
  const worker = new Worker(new URL("./fuzz_worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve) => {
    let silence: ReturnType<typeof setTimeout>;
    const end = (isGood: boolean) => {
      clearTimeout(silence);
      worker.terminate();
      resolve(isGood);
    };
    const watch = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        const bytes = new Uint8Array(current).slice();
        const length = new DataView(bytes.buffer).getUint32(0, true);
        end(failed(order, `No end within ${SILENCE_MS} ms`, bytes.slice(4, 4 + length)));
      }, SILENCE_MS);
    };
    worker.onmessage = ({ data: news }: MessageEvent<FuzzNews>) => {
      watch();
      if (news.kind === "failed") end(failed(order, news.message, news.input));
      if (news.kind !== "done") return;
      const rate = Math.round(news.cases / Math.max(0.001, news.ms / 1000));
      console.log(
        `${order.target.padEnd(12)} ${String(news.cases).padStart(10)} cases ` +
          `${String(rate).padStart(8)}/s ${String(news.outcomes).padStart(6)} outcomes  ok`,
      );
      end(true);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      end(failed(order, event.message, new Uint8Array(0)));
    };
    watch();
    worker.postMessage({ order, current });
  });
}

function failed(order: FuzzOrder, message: string, input: Uint8Array): false {
  const file = Deno.makeTempFileSync({ prefix: `fuzz-${order.target}-` });
  Deno.writeFileSync(file, input);
  console.error(`${order.target.padEnd(12)} FAILED: ${message}`);
  console.error(`  again: deno task fuzz --target ${order.target} --input ${file}`);
  return false;
}

async function main(): Promise<void> {
  const given = flagsOrExit(USAGE);
  const { flags } = given;
  const targets = namesOf(USAGE, given, "--target", NAMES);
  const file = flags.get("--input");
  const input = file === undefined ? undefined : Deno.readFileSync(file);
  const seed = flags.get("--seed") ?? "1";
  const cases = Number(flags.get("--cases") ?? Infinity);
  const minutes = Number(flags.get("--minutes") ?? 1);
  const ms = cases < Infinity ? Infinity : minutes * 60_000 / targets.length;
  let isGood = true;
  for (const target of targets) {
    isGood = await run({ target, seed, input, ms, cases }) && isGood;
  }
  const rss = Math.round(Deno.memoryUsage().rss / 2 ** 20);
  console.log(`Seed ${seed}; memory of the process at the end: ${rss} MiB`);
  if (!isGood) Deno.exit(1);
}

await main();
