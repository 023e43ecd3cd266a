// A replica group that tells its story: every change of status or ballot, every request to meta with its answer,
// every reply to a client and every note of a core becomes one line, in the order in which it happened. It only
// listens; the rules under test are those of docs/protocol.md.

import { errorName } from "../../src/base/errors.ts";
import type { ReplicaCore } from "../../src/replication/replica.ts";
import type { ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import { type Doubt, Group } from "../unit/replication/group.ts";
import { Member } from "../unit/replication/member.ts";

type UpdateConfig = Extract<ReplicaEffect, { kind: "updateConfig" }>;
type Note = Extract<ReplicaEffect, { kind: "note" }>;
type Details = Readonly<Record<string, unknown>>;

/** What a core is, as one word: a replica between two configurations is "transient". */
export function statusOf(core: ReplicaCore): string {
  return core.status === "inactive" && core.transient ? "transient" : core.status;
}

/** A configuration as "ballot 3, A (B C)". */
export function configText(config: PartitionConfig): string {
  return `ballot ${config.ballot}, ${config.primary || "nobody"} (${config.secondaries.join(" ")})`;
}

/** See the file comment. */
export class TracedGroup extends Group {
  /** Meta stores what it is asked, but its answers are lost. */
  losesReplies = false;
  readonly #lines: string[] = [];
  readonly #seen = new Map<string, { status: string; ballot: number }>();
  #replies: { head: string; tokens: string[]; tail: string } | undefined;

  constructor() {
    super([]);
  }

  /** Adds a server with an empty replica. */
  add(name: string, incarnation = 1): void {
    const member = new Member(name);
    member.incarnation = incarnation;
    this.members.set(name, member);
    this.open(name, false);
  }

  /** Lines since the last call. */
  takeTrace(): string[] {
    this.#endReplies();
    return this.#lines.splice(0);
  }

  override open(name: string, existed: boolean, doubt: Doubt = {}): void {
    this.#seen.delete(name);
    super.open(name, existed, doubt);
  }

  override step(name: string, event: ReplicaEvent): void {
    super.step(name, event);
    this.#watch(name);
  }

  override perform(member: Member, effect: ReplicaEffect): void {
    this.#watch(member.name);
    if (effect.kind === "reply") {
      const outcome = effect.error === 0 ? `OK, decree ${effect.decree}` : errorName(effect.error);
      const result = effect.result === undefined ? "" : ", with a result";
      this.#reply(`${member.name} answers `, String(effect.token), `: ${outcome}${result}`);
    } else if (effect.kind === "note") this.#note(member.name, effect);
    super.perform(member, effect);
  }

  override update(from: string, effect: UpdateConfig): void {
    const { change, node, config } = effect;
    this.#line(`${from} asks meta: ${change} ${node}, ${configText(config)}`);
    const before = this.config;
    super.update(from, effect);
    if (this.metaDown) this.#line("meta does not hear it");
    else if (this.config !== before) this.#line(`meta stores ${configText(this.config)}`);
    else {
      const same = JSON.stringify(this.config) === JSON.stringify(config);
      this.#line(`meta ${same ? "has stored that already" : "refuses"}`);
    }
  }

  override later(to: string, event: ReplicaEvent): void {
    if (event.kind !== "configReply" || !this.losesReplies) super.later(to, event);
    else this.#line("meta's answer is lost");
  }

  #line(text: string): void {
    this.#endReplies();
    this.#lines.push(text);
  }

  /** Equal answers in a row are one line. */
  #reply(head: string, token: string, tail: string): void {
    const held = this.#replies;
    if (held?.head === head && held.tail === tail) held.tokens.push(token);
    else {
      this.#endReplies();
      this.#replies = { head, tokens: [token], tail };
    }
  }

  #endReplies(): void {
    const held = this.#replies;
    if (held === undefined) return;
    const [first, last] = [held.tokens[0], held.tokens.at(-1)];
    const tokens = held.tokens.length > 3 ? `${first}..${last}` : held.tokens.join(" ");
    this.#lines.push(`${held.head}${tokens}${held.tail}`);
    this.#replies = undefined;
  }

  /** Tells what a core has become since it was last looked at. */
  #watch(name: string): void {
    const core = this.members.get(name)?.core;
    if (core === undefined) return;
    const now = { status: statusOf(core), ballot: core.ballot };
    const was = this.#seen.get(name);
    this.#seen.set(name, now);
    if (was === undefined) this.#line(`${name} starts: ${now.status}, ballot ${now.ballot}`);
    else if (was.status !== now.status) {
      this.#line(`${name}: ${was.status} -> ${now.status}, ballot ${now.ballot}`);
    } else if (was.ballot !== now.ballot) {
      this.#line(`${name}: still ${now.status}, ballot ${now.ballot}`);
    }
  }

  #note(name: string, { event, details }: Note): void {
    const text = noteText(event, details);
    if (text !== undefined) this.#line(`${name} ${text}`);
  }
}

/** The notes of a core that belong to the story; status and ballot are seen without them. */
function noteText(event: Note["event"], d: Details): string | undefined {
  switch (event) {
    case "truncate":
      return `drops ${d.dropped} above ${d.end}`;
    case "reconcile":
      return `${again(d)}${d.newReign ? ", then the barrier" : ""}`;
    case "learn":
      return d.learner !== undefined
        ? `takes the learner ${d.learner}`
        : `learns from the ${d.source} what follows ${d.from}`;
    case "learned":
      return `has learned, prepares start at ${d.prepareStart}`;
    case "learnerForgotten":
      return `forgets the learner ${d.learner}: ${d.reason}`;
    case "reconfigure":
      return d.remove === undefined ? undefined : `gives up ${d.remove}: ${d.reason}`;
    case "rejoin":
      return `${d.accepted ? "counts" : "does not count"} the restarted ${d.node}`;
    case "tail":
      if (d.ask !== undefined) return `asks ${(d.ask as string[]).join(" ")} how far their logs go`;
      return d.node === undefined
        ? "hears from nobody how far the logs go"
        : `hears that ${d.node} holds ${d.lacks ? "more" : "no more"}`;
    case "gap":
      return d.node === undefined
        ? `lacks ${d.expected}`
        : `hears that ${d.node} lacks ${d.decree}`;
    case "duplicate":
      return `knows this write: in ${d.in}`;
    case "condemned":
      return `condemns itself: ${d.reason}`;
    default:
      return undefined;
  }
}

function again({ committed, end }: Details): string {
  const first = Number(committed) + 1;
  return first > Number(end) ? "prepares nothing again" : `prepares again ${first}..${end}`;
}
