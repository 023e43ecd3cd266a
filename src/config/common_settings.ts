// Settings that both kinds of servers read: the process, failure detection, the network. settings.ts joins
// all groups and explains names.

import { bytes, choice, duration, int, text } from "./field.ts";
import { BOTH, group } from "./group.ts";

/** What every process has. */
export const PROCESS = group("Process", BOTH, {
  cluster: text({
    default: "onebox",
    pattern: /^[0-9A-Za-z._-]{1,64}$/,
    expected: "1 to 64 letters, digits, dots, dashes or underscores",
    clusterWide: true,
    doc: "Name of the cluster; servers and clients of another cluster are refused",
  }),
  logLevel: choice(["debug", "info", "warn", "error"], {
    default: "info",
    reload: true,
    doc: "Least important lines that are logged",
  }),
  logFormat: choice(["text", "json"], {
    default: "text",
    doc: "Form of log lines and of the line that tells the address on stdout",
  }),
  logFile: text({
    default: "",
    doc: "File the log is appended to instead of stderr; empty = stderr",
  }),
  logFileBytesMax: bytes({
    default: "64MiB",
    min: "1KiB",
    max: "1TiB",
    doc:
      "A log file that has reached this size is put aside as FILE.1, the one before as FILE.2, ...",
  }),
  logFilesMax: int({
    default: 10,
    min: 0,
    max: 1000,
    doc: "Log files put aside that are kept; the oldest is removed",
  }),
  http: text({
    default: "127.0.0.1:0",
    pattern: /^(none|(\[[0-9a-fA-F:.]+\]|[^\s:,[\]]+):\d{1,5})$/,
    expected: "HOST:PORT or none",
    doc:
      "Address of health, metrics and settings over HTTP (docs/http.md); port 0 takes a free port, " +
      "which meta and the log tell",
  }),
  adminTokenFile: text({
    default: "",
    doc: "File with the token that allows changes and profiles over HTTP; empty = read-only",
  }),
  dialMap: text({
    default: "",
    doc: "JSON file with addresses to dial instead of those of servers, for tests with proxies",
  }),
});

/** How long a server may take to stop. @param then What follows for this kind of server. */
export function stopTimeout(byDefault: string, then: string) {
  return duration({
    default: byDefault,
    min: "1s",
    max: "1h",
    reload: true,
    doc: "A stop in order that takes longer is broken off with exit code 1" + then +
      "; whoever kills what does not stop must wait longer",
  });
}

/** The contract between beacons, the lease and the verdict (docs/meta.md, "Failure detector"). */
export const DETECTOR = group("Failure detection", BOTH, {
  beaconIntervalMs: duration({
    default: "1s",
    min: "10ms",
    max: "1m",
    clusterWide: true,
    doc: "A replica server shows a sign of life this often",
  }),
  leaseMs: duration({
    default: "5s",
    min: "50ms",
    max: "5m",
    clusterWide: true,
    doc:
      "How long a replica server may serve after its last acknowledged beacon was sent; meta admits " +
      "none whose lease is not below its own grace",
  }),
  graceMs: duration({
    default: "6s",
    min: "60ms",
    max: "6m",
    clusterWide: true,
    doc: "Meta declares a server dead after so long without a beacon; longer than the lease",
  }),
});

/** Limits and timers of connections; the fields of RpcSettings. */
export const RPC = group("Network", BOTH, {
  frameBytesMax: bytes({
    default: "16MiB",
    min: "64KiB",
    max: "256MiB",
    clusterWide: true,
    doc: "Largest message accepted or sent",
  }),
  inflightMax: int({
    default: 10_000,
    min: 1,
    max: 1_000_000,
    doc: "Unanswered calls of one connection; more are answered BUSY",
  }),
  sendBufferBytesMax: bytes({
    default: "16MiB",
    min: "64KiB",
    max: "1GiB",
    doc: "Bytes waiting in a connection before its reader is paused",
  }),
  connectTimeoutMs: duration({
    default: "2s",
    min: "10ms",
    max: "1m",
    doc: "Time to connect",
  }),
  frameTimeoutMs: duration({
    default: "10s",
    min: "10ms",
    max: "10m",
    doc: "Time in which a message that has begun must be complete",
  }),
  keepAliveMs: duration({
    default: "10s",
    min: "100ms",
    max: "10m",
    doc: "A silent connection is probed after so long and dropped after twice as long",
  }),
  answerProbeMs: duration({
    default: "1s",
    min: "50ms",
    max: "10m",
    doc:
      "A silent connection that owes an answer is probed after a quarter of it, left for another " +
      "one on which the server answers after half of it, and dropped after three times as long",
  }),
  reconnectMinMs: duration({
    default: "20ms",
    min: "1ms",
    max: "1m",
    doc: "First pause before connecting again; it doubles",
  }),
  reconnectMaxMs: duration({
    default: "300ms",
    min: "1ms",
    max: "10m",
    doc: "Longest pause before connecting again",
  }),
  connectionsMax: int({
    default: 10_000,
    min: 1,
    max: 1_000_000,
    doc: "Connections accepted; more are refused",
  }),
}, "rpc");
