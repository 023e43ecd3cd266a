// The generated pages of docs/, from the declarations they describe. `deno task docs` writes them;
// tests/tidy_test.ts compares, so a page never tells something else than the code does.

import { errorTable } from "../src/base/errors.ts";
import { configPage, markdownTable } from "../src/config/help.ts";
import { httpPage, metricsPage } from "./http/pages.ts";
import { shellMarkdown } from "./shell/main_shell.ts";

/** Content of every generated page by its path from the project's root. */
export function generatedPages(): ReadonlyMap<string, string> {
  return new Map([
    ["docs/config.md", configPage()],
    ["docs/errors.md", errorsPage()],
    ["docs/http.md", httpPage()],
    ["docs/metrics.md", metricsPage()],
    ["docs/shell.md", shellMarkdown()],
  ]);
}

function errorsPage(): string {
  const rows = errorTable().map(({ code, name, advice, meaning }) => [
    String(code),
    `\`${name}\``,
    advice,
    meaning,
  ]);
  return [
    "# Errors",
    "",
    "Generated from `src/base/errors.ts` by `deno task docs`; do not edit.",
    "",
    "The advice says what a caller may conclude. `never`, `backoff` and `refreshRoute` prove that nothing",
    "happened: give up, try again after a pause, or ask meta for the route first. After `unknownOutcome`",
    "the request may have been carried out; only a read or an exactly-once retry is safe. Numbers are",
    "frozen.",
    "",
    ...markdownTable(["code", "name", "advice", "meaning"], rows),
    "",
  ].join("\n");
}

if (import.meta.main) {
  for (const [path, text] of generatedPages()) {
    Deno.writeTextFileSync(new URL(`../${path}`, import.meta.url), text);
  }
}
