// Alarms and their explanations belong together, and they ask for metrics that exist.

import assert from "node:assert/strict";
import { METRICS } from "../../../src/observe/metrics.ts";

const DOCS = new URL("../../../docs/", import.meta.url);
const RULES = Deno.readTextFileSync(new URL("deploy/alerts.yaml", DOCS));

Deno.test("Every alarm is explained, and every explanation has its alarm", () => {
  const alarms = [...RULES.matchAll(/- alert: (\w+)[^]*?severity: (\w+)/g)];
  const ruled = alarms.map(([, name, severity]) => `${name} (${severity})`);
  const manual = Deno.readTextFileSync(new URL("operations.md", DOCS));
  const explained = [...manual.matchAll(/^### (Pegasus\w+ \(\w+\))$/gm)].map(([, title]) => title);
  assert.ok(ruled.length > 10);
  assert.deepEqual(ruled, explained);
});

Deno.test("Alarms ask for metrics and labels that exist", () => {
  const declared = new Map(
    Object.values(METRICS).flatMap((family) =>
      Object.values(family).map((metric) => [metric.name, metric.labels as readonly string[]])
    ),
  );
  const asked = [...RULES.matchAll(/(pegasus_\w+?)(?:_bucket)?(?:\{(\w+)[=~]|[[\s>=)])/g)];
  assert.ok(asked.length > 10);
  for (const [text, name, label] of asked) {
    assert.ok(declared.has(name!), `No metric "${name}" (${text})`);
    if (label !== undefined) assert.ok(declared.get(name!)!.includes(label), text);
  }
});
