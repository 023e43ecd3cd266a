// The files of the dashboard's page, as they lie in this folder, and the chart library from its package.
// They are read when somebody asks first and kept. Text imports would do the same, but the oldest supported
// runtime does not have them. Invariant: the page loads nothing from anywhere else, its policy forbids it.

import { type Answer, problem } from "../route.ts";

const TEXT = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

/** Only this server is asked for anything, and no other page can show this one in a frame. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
  "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Each by its own path, so that the browser's tools and the policy know them apart. */
const FILES = {
  "/dashboard": () => new URL("./dashboard.html", import.meta.url),
  "/dashboard/dashboard.css": () => new URL("./dashboard.css", import.meta.url),
  "/dashboard/dashboard.js": () => new URL("./dashboard.js", import.meta.url),
  "/dashboard/views.js": () => new URL("./views.js", import.meta.url),
  "/dashboard/charts.js": () => new URL("./charts.js", import.meta.url),
  "/dashboard/uplot.js": () => new URL(import.meta.resolve("uplot/dist/uPlot.iife.min.js")),
  "/dashboard/uplot.css": () => new URL(import.meta.resolve("uplot/dist/uPlot.min.css")),
} as const;

/** Path of a file of the page. */
export type PageFile = keyof typeof FILES;

const kept = new Map<PageFile, Answer>();

/** A file of the page. */
export async function pageFile(path: PageFile): Promise<Answer> {
  let answer = kept.get(path);
  if (answer !== undefined) return answer;
  try {
    const file = FILES[path]();
    const ending = file.pathname.slice(file.pathname.lastIndexOf(".") + 1) as keyof typeof TEXT;
    const headers = { "content-security-policy": POLICY };
    answer = { body: await Deno.readTextFile(file), contentType: TEXT[ending], headers };
  } catch (error) {
    // A program compiled into one executable carries only what it was told to.
    const reason = error instanceof Error ? error.message : String(error);
    return problem(
      501,
      `This program does not carry the dashboard (${reason}): compile it with ` +
        '"--include roles/http/dashboard"; /meta/overview tells the same',
    );
  }
  kept.set(path, answer);
  return answer;
}
