// Text from people: settings files, flags, shell lines, table variables, HTTP paths, addresses.

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { loadSettings } from "../../src/config/load.ts";
import { parseAddress } from "../../src/rpc/tcp_transport.ts";
import { envProblem, knownTableEnvs, parseTableEnvs } from "../../src/schema/table_envs.ts";
import { readDialMap } from "../../roles/dial_map.ts";
import { Router } from "../../roles/http/route.ts";
import { COMMON_ROUTES, META_ROUTES } from "../../roles/http/routes.ts";
import { parseState } from "../../roles/onebox/state.ts";
import { needCommand } from "../../roles/shell/commands/all.ts";
import { readAddresses, readClusters } from "../../roles/shell/connections.ts";
import { parseArgs, UsageProblem } from "../../roles/shell/declare.ts";
import { parseFlags } from "../../roles/shell/flags.ts";
import { parseLine, quote, SyntaxProblem } from "../../roles/shell/words.ts";
import { type FuzzTarget, kindOf, must, refusing } from "./target.ts";

function kindsOf(problems: readonly string[]): string {
  return problems.slice(0, 3).map((text) => kindOf(new Error(text))).join();
}

const settings: FuzzTarget = {
  name: "settings",
  about: "settings files: settings, or the problems in words",
  corpus: () =>
    [
      'listen = "127.0.0.1:1"\ngrace = "6s"\nlog-level = "debug"\nrpc-inflight-max = 10_000\n',
      'meta = ["a:1", "b:2"]\ndata-dir = "/x"\nfast-failover = false\nalive-percent-min = 0x32\n',
      'auth = "required"\ncluster-secret-file = """/x"""\nlease = "5s" # comment\n',
      "a.b.c = [1, [2, {x = 1979-05-27T07:32:00Z}]]\n[t]\nf = inf\n[[t2]]\n",
    ].map(utf8),
  run(input, rng) {
    const text = fromUtf8(input);
    const role = rng.chance(0.5) ? "meta" : "replica";
    const loaded = loadSettings(role, ["--config", "file"], () => text);
    if (loaded.kind === "invalid") {
      must(loaded.problems.length > 0, "something is named as wrong");
      return kindsOf(loaded.problems);
    }
    return loaded.kind;
  },
};

const flags: FuzzTarget = {
  name: "flags",
  about: "flags of servers and of the shell",
  corpus: () =>
    [
      "--listen\n127.0.0.1:1\n--grace=6s\n--fast-failover\n--rpc-inflight-max\n5",
      "--meta=a:1,b:2\n--data-dir=/x\n--auth=required\n-h",
      "-e\nls; use t\n--json\n--timeout\n5\n--user=ada",
      "--no-fast-failover\n--\n--x\n-abc\n--=\n-",
    ].map(utf8),
  run(input, rng) {
    const words = fromUtf8(input).split("\n");
    const loaded = loadSettings(rng.chance(0.5) ? "meta" : "replica", words, () => "");
    const shell = parseFlags(words);
    const said = typeof shell === "string" ? kindOf(new Error(shell)) : "flags";
    return `${loaded.kind === "invalid" ? kindsOf(loaded.problems) : loaded.kind} ${said}`;
  },
};

const shell: FuzzTarget = {
  name: "shell",
  about: "lines of the shell: commands, or SyntaxProblem and UsageProblem",
  corpus: () =>
    [
      'use temp; set h s "v\\x00 \\"q\\" " 60; get h s',
      "multi_set 'h h' a 1 b 2; multi_get h -a -m 5; scan --hash_key_filter_type prefix",
      "create t -p 8 -r 3; grant ada read,write t # comment\ndrop t --yes",
      "check_and_set h -c s -t exist -s x -v y; incr h s -5; -- -x",
    ].map(utf8),
  run(input) {
    const line = fromUtf8(input);
    return refusing([SyntaxProblem, UsageProblem], () => {
      const commands = parseLine(line);
      const seen: string[] = [];
      for (const words of commands.slice(0, 20)) {
        for (const word of words) {
          if (word.bytes.length > 1000) continue;
          const again = parseLine(`x ${quote(word.bytes, true)}`)[0]?.[1];
          must(
            again !== undefined && quote(again.bytes, true) === quote(word.bytes, true),
            "quotes",
          );
        }
        const command = needCommand(words[0]!.text);
        parseArgs(command, words.slice(1));
        seen.push(command.name);
      }
      return seen.slice(0, 3).join();
    });
  },
};

const envs: FuzzTarget = {
  name: "table_envs",
  about: "variables of tables: what is let in can be read",
  corpus: () =>
    [
      "default_ttl=60",
      "replica.write_throttling=100K*delay*20,200K*reject*20",
      "replica_access_controller.read_users=ada, bob,eve@x",
      "manual_compact.periodic.trigger_time=3:00,21:00",
      "replica.deny_client_request=timeout*all",
      ...knownTableEnvs().map(([name]) => `${name}=1`),
    ].map(utf8),
  run(input) {
    const text = fromUtf8(input);
    const at = text.indexOf("=");
    const [key, value] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    const problem = envProblem(key, value);
    const read = parseTableEnvs(new Map([[key, value]]));
    must(Number.isSafeInteger(read.defaultTtlSeconds), "a TTL is a number");
    must(read.readBytes >= 0 && Number.isFinite(read.readBytes), "a limit is a number");
    return kindOf(new Error(problem ?? `${key} is fine`)).slice(0, 60);
  },
};

const ROUTER = new Router("0123456789abcdef");
for (const routes of [COMMON_ROUTES, META_ROUTES]) {
  ROUTER.add(routes, Object.fromEntries(Object.keys(routes).map((p) => [p, () => ({})])) as never);
}

const http: FuzzTarget = {
  name: "http",
  about: "paths over HTTP: an answer for every URL, and no change without the token",
  corpus: () =>
    [
      "GET\n/configs\n",
      "GET\n/config?name=grace\n",
      "POST\n/updateConfig?log-level=debug\nBearer 0123456789abcdef",
      "HEAD\n/meta/app?name=temp&detail\nBearer x",
      "GET\n//x/../%2e%2e/%00\n",
    ].map(utf8),
  async run(input) {
    const [method = "", path = "", token = ""] = fromUtf8(input).split("\n");
    let url: URL;
    try {
      url = new URL(path, "http://127.0.0.1:1");
    } catch (error) {
      return kindOf(error);
    }
    const { status = 200 } = await ROUTER.answer(method, url, token);
    must(status >= 200 && status < 500, `status ${status}`);
    const isAdmin = url.pathname.startsWith("/updateConfig") || url.pathname.startsWith("/pprof");
    if (isAdmin && status === 200) must(token === "Bearer 0123456789abcdef", "the token was asked");
    const known = ROUTER.list().find(([name]) => url.pathname.startsWith(name))?.[0];
    return `${status} ${known} ${[...url.searchParams].length > 0}`;
  },
};

const files: FuzzTarget = {
  name: "files",
  about: "small files and addresses: onebox state, clusters, dial map, host:port",
  corpus: () =>
    [
      '{"version":1,"servers":[{"name":"m1","role":"meta","address":"127.0.0.1:1","pid":5}]}',
      "one 127.0.0.1:1,127.0.0.1:2\n# comment\ntwo [::1]:3\n",
      '{"a:1":"b:2"}',
      "[::1]:80",
    ].map(utf8),
  run(input) {
    const text = fromUtf8(input);
    const said = (read: () => unknown) => refusing([Error], () => typeof read()).slice(0, 24);
    return [
      () => parseState(text),
      () => readClusters(text),
      () => readAddresses(text),
      () => readDialMap("file", () => text),
      () => parseAddress(text),
    ].map(said).join();
  },
};

/** See the file comment. */
export const TEXT_TARGETS: readonly FuzzTarget[] = [settings, flags, shell, envs, http, files];
