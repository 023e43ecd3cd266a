// A headless browser for the tests of pages: what a page becomes, and how it looks. Pictures go to the directory that
// PEGASUS_SCREENSHOTS names, or to a temporary one; they are for people and never compared.

import assert from "node:assert/strict";

const BROWSER_MS_MAX = 60_000;
const BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"];

/** A browser that asks nobody but the page's server. */
const QUIET = ["--disable-background-networking", "--no-first-run", "--disable-component-update"];

/** Why a page was not opened, where there is no browser. */
export const BROWSER_MISSING =
  "chromium is not installed, pages are not opened; apt-get install chromium";

/** Where pictures go. */
export const PICTURES = Deno.env.get("PEGASUS_SCREENSHOTS") ??
  `${Deno.env.get("TMPDIR") ?? "/tmp"}/pegasus-screenshots`;

/** The document as it became after it had time to ask and draw; `undefined` without a browser. */
export async function renderedPage(server: string): Promise<string | undefined> {
  return await browse(["--dump-dom", ...pageArgs(server, false)]);
}

/** Keeps a picture of the page. */
export async function photograph(server: string, name: string, dark: boolean): Promise<void> {
  Deno.mkdirSync(PICTURES, { recursive: true });
  const path = `${PICTURES}/${name}`;
  await browse([`--screenshot=${path}`, ...pageArgs(server, dark)]);
  assert.ok(Deno.statSync(path).size > 10_000, `${path} is empty`);
}

function pageArgs(server: string, dark: boolean): string[] {
  return [
    `--blink-settings=preferredColorScheme=${dark ? 0 : 1}`,
    "--window-size=1280,900",
    // Time in the page runs until it has asked and drawn; asking takes real time, which this includes.
    "--virtual-time-budget=5000",
    `${server}/dashboard`,
  ];
}

/** What the browser prints, or `undefined` if there is none. */
async function browse(args: readonly string[]): Promise<string | undefined> {
  const profile = Deno.makeTempDirSync({ prefix: "pegasus-browser-" });
  try {
    const command = new Deno.Command("chromium", {
      args: [...BROWSER, ...QUIET, `--user-data-dir=${profile}`, ...args],
      signal: AbortSignal.timeout(BROWSER_MS_MAX),
      stdout: "piped",
      stderr: "piped",
    });
    const { code, stdout, stderr } = await command.output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  } finally {
    Deno.removeSync(profile, { recursive: true });
  }
}
