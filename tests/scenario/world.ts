// Runs the commands of a scenario over a replica group in memory: one handler per verb. Every command brings the
// group to rest before the next one, unless it says otherwise; its trace is what happened meanwhile
// (traced_group.ts). docs/testing.md, "Scenario scripts", lists the verbs.

import { fromHex, fromUtf8, utf8 } from "../../src/base/bytes.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { ConfigChange } from "../../src/schema/types.ts";
import { configText, statusOf, TracedGroup } from "./traced_group.ts";

/** Messages that are lost or held back; `count` of them, then the rule is over. */
interface Rule {
  readonly from: string;
  readonly to: string;
  readonly kind: string;
  readonly holds: boolean;
  count: number;
}

type Handler = (args: string[]) => string[] | void;

/** See the file comment. */
export class World {
  readonly #group = new TracedGroup();
  readonly #held: { to: string; message: PeerMessage }[] = [];
  #rules: Rule[] = [];
  readonly #handlers: ReadonlyMap<string, Handler> = this.#table();

  constructor() {
    this.#group.drop = (to, message) => this.#loses(to, message);
  }

  /** Performs one line. Returns its trace, then what the command itself has to say. */
  run(command: string): string[] {
    const [verb, ...args] = command.trim().split(/\s+/);
    const handler = this.#handlers.get(verb!);
    if (handler === undefined) {
      throw new Error(`Unknown verb "${verb}", expected ${[...this.#handlers.keys()].join(", ")}`);
    }
    const said = handler(args) ?? [];
    return [...this.#group.takeTrace(), ...said];
  }

  #table(): Map<string, Handler> {
    return new Map<string, Handler>([
      ["set", (args) => this.#set(args)],
      ["form", (args) => this.#form(args)],
      ["spare", (args) => args.forEach((name) => this.#group.add(name))],
      ["put", (args) => this.#put(args)],
      ["burst", (args) => this.#burst(args)],
      ["queue", (args) => this.#queue(args)],
      ["run", () => this.#group.run()],
      ["pass", ([time]) => this.#group.pass(milliseconds(time))],
      ["hold-log", ([name]) => void (this.#group.member(name!).holdLog = true)],
      ["release-log", ([name]) => this.#releaseLog(name!)],
      ["fail-log", ([name]) => this.#failLog(name!)],
      ["lose-log", ([name, count]) => void this.#group.member(name!).log.splice(-Number(count))],
      ["collect-log", ([name]) => this.#collectLog(name!)],
      ["lose-replica", ([name]) => this.#loseReplica(name!)],
      ["fail-copy", ([where]) => this.#failCopy(where!)],
      ["drop", (args) => this.#rule(args, false)],
      ["hold", (args) => this.#rule(args, true)],
      ["deliver", () => this.#deliver()],
      ["heal", () => void (this.#rules = [])],
      ["crash", (args) => args.forEach((name) => this.#group.crash(name))],
      ["restart", (args) => args.forEach((name) => this.#group.restart(name))],
      ["restart-unsure", ([name]) => this.#group.restart(name!, { mayLack: true })],
      [
        "restart-torn",
        (args) => args.forEach((name) => this.#group.restart(name, { tornTail: true })),
      ],
      ["peer-down", ([at, gone]) => this.#event(at!, { kind: "peerDown", node: gone! })],
      ["contact", ([name, how]) => this.#contact(name!, how!)],
      ["meta", ([how]) => this.#meta(how!)],
      ["meta-drops", ([name]) => this.#metaDrops(name!)],
      ["notify", ([name]) => this.#event(name!, { kind: "config", config: this.#group.config })],
      ["propose", ([to, change, node]) => this.#propose(to!, change!, node!)],
      ["failover", ([dead, next]) => this.#group.failOver(dead!, next!)],
      ["state", () => this.#state()],
      ["rows", ([name]) => this.#rows(name!)],
    ]);
  }

  #event(name: string, event: Parameters<TracedGroup["step"]>[1]): void {
    this.#group.step(name, event);
    this.#group.run();
  }

  #set([key, value]: string[]): void {
    const settings: ReplicaSettings = { ...this.#group.settings, [key!]: Number(value) };
    this.#group.settings = settings;
  }

  #form(names: string[]): void {
    for (const name of names) this.#group.add(name);
    this.#group.form();
  }

  #put([to, token, key, value]: string[]): void {
    this.#group.put(to!, token!, key!, value!);
    this.#group.run();
  }

  #queue([to, token, key, value]: string[]): void {
    this.#group.put(to!, token!, key!, value!);
  }

  /** `burst A 20 b`: 20 writes in one batch of input, tokens b1, b2, ... */
  #burst([to, count, prefix]: string[]): void {
    for (let i = 1; i <= Number(count); i++) this.#group.put(to!, `${prefix}${i}`, prefix!, `${i}`);
    this.#group.run();
  }

  #releaseLog(name: string): void {
    this.#group.member(name).holdLog = false;
    this.#group.run();
  }

  #failLog(name: string): void {
    this.#group.member(name).unsynced = [];
    this.#event(name, { kind: "appendFailed", reason: "fsync: I/O error" });
  }

  /** Drops the log below what is durable in the engine (§14). */
  #collectLog(name: string): string[] {
    const member = this.#group.member(name);
    member.log = member.log.filter((r) => r.kind !== "mutation" || r.decree > member.durable);
    member.logFirstDecree = member.durable + 1;
    return [`${name}'s log starts at ${member.logFirstDecree}`];
  }

  /** Nothing of a stopped member can be used: its server starts without the replica. */
  #loseReplica(name: string): void {
    this.#group.add(name, this.#group.member(name).incarnation + 1);
  }

  #failCopy(where: string): void {
    this.#group.copyFaults.push(oneOf(where, ["source", "here"]) as "source" | "here");
  }

  /** `drop prepare A->B 1`: the kind may be *, the count may be missing. */
  #rule([kind, link, count]: string[], holds: boolean): void {
    const [from, to] = link!.split("->");
    const left = count === undefined ? Infinity : Number(count);
    this.#rules.push({ from: from!, to: to!, kind: kind!, holds, count: left });
  }

  #loses(to: string, message: PeerMessage): boolean {
    const fits = (pattern: string, text: string) => pattern === "*" || pattern === text;
    const rule = this.#rules.find((r) =>
      r.count > 0 && fits(r.kind, message.kind) && fits(r.to, to) && fits(r.from, message.body.from)
    );
    if (rule === undefined) return false;
    rule.count--;
    if (rule.holds) this.#held.push({ to, message });
    return true;
  }

  #deliver(): void {
    this.#rules = this.#rules.filter((r) => !r.holds);
    this.#group.inbox.push(...this.#held.splice(0));
    this.#group.run();
  }

  #contact(name: string, how: string): void {
    this.#event(name, { kind: "metaContact", connected: oneOf(how, ["lost", "back"]) === "back" });
  }

  #meta(how: string): void {
    oneOf(how, ["down", "up", "loses-replies"]);
    this.#group.metaDown = how === "down";
    this.#group.losesReplies = how === "loses-replies";
  }

  /** Meta's verdict on a node, of which nobody hears yet. */
  #metaDrops(name: string): string[] {
    const { config } = this.#group;
    this.#group.config = {
      ...config,
      ballot: config.ballot + 1,
      primary: config.primary === name ? "" : config.primary,
      secondaries: config.secondaries.filter((n) => n !== name),
      lastDrops: [...config.lastDrops, name],
    };
    return [`meta stores ${configText(this.#group.config)}`];
  }

  #propose(to: string, change: string, node: string): void {
    this.#group.propose(to, change as ConfigChange, node);
    this.#group.run();
  }

  #state(): string[] {
    const lines = [`meta: ${configText(this.#group.config)}`];
    for (const { name, core } of this.#group.members.values()) {
      if (core === undefined) {
        lines.push(`${name}: down`);
        continue;
      }
      const { ballot, maxPrepared, committed, applied } = core.report();
      lines.push(
        `${name}: ${statusOf(core)}, ballot ${ballot}, prepared ${maxPrepared}, ` +
          `committed ${committed}, applied ${applied}${core.readable ? ", readable" : ""}`,
      );
    }
    return lines;
  }

  #rows(name: string): string[] {
    const rows = [...this.#group.member(name).rows].map(([key, value]) =>
      `${fromUtf8(fromHex(key) ?? utf8("?"))}=${fromUtf8(value)}`
    );
    return [rows.length === 0 ? "none" : rows.sort().join(" ")];
  }
}

function milliseconds(text = ""): number {
  const match = /^(\d+)(ms|s)$/.exec(text);
  if (match === null) throw new Error(`"${text}" is no time, expected something like 600ms or 4s`);
  return Number(match[1]) * (match[2] === "s" ? 1000 : 1);
}

function oneOf(word: string, words: readonly string[]): string {
  if (words.includes(word)) return word;
  throw new Error(`"${word}" is not allowed here, expected ${words.join(", ")}`);
}
