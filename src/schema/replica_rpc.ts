// What replica servers say to each other about one partition. Codes 200-249. All but the bulk fetch are
// one-way messages: loss, delay, duplication and reordering are the state machine's business (docs/protocol.md).
// Every message names the sender and its incarnation, so that a restart is never invisible.

import { bool, bytes, choice, list, type Of, str, u16, u32, u53, withDefault } from "./field.ts";
import * as hot from "./hot_codec.ts";
import { defineMessage, defineRpc } from "./rpc.ts";
import { replicaStatus } from "./types.ts";

const head = { partition: u53, from: str, incarnation: u53, ballot: u53 };

/** Primary to member or learner: log this mutation. */
export const Prepare = defineMessage({
  code: 200,
  name: "prepare",
  body: {
    ...head,
    /** What the receiver is in the sender's configuration. */
    role: choice("secondary", "learner"),
    /** The learner's signature; 0 for a secondary. */
    signature: u53,
    /** E(ballot): the highest decree the primary held when it entered this ballot. */
    reconcileEnd: u53,
    /** Encoded mutation (mutation.ts); its ballot equals the message's. */
    mutation: bytes,
    /** The primary's commit point when it sent this; the mutation may have been formed long before. */
    committed: withDefault(u53, 0),
  },
  hot: hot.prepare,
});

/** Answer to a prepare, or to several with one message: everything up to `decree` is logged. */
export const PrepareAck = defineMessage({
  code: 201,
  name: "prepare_ack",
  body: {
    ...head,
    signature: u53,
    /** The decree answered. With error GAP: the first decree that is missing. */
    decree: u53,
    error: u16,
    lastPrepared: u53,
    committed: u53,
  },
  hot: hot.prepareAck,
});

/** Primary to every member and learner, from time to time: who you are and what is committed. */
export const GroupCheck = defineMessage({
  code: 202,
  name: "group_check",
  body: {
    ...head,
    role: choice("secondary", "learner"),
    signature: u53,
    reconcileEnd: u53,
    committed: u53,
  },
});

export const GroupCheckReply = defineMessage({
  code: 203,
  name: "group_check_reply",
  body: {
    ...head,
    signature: u53,
    status: replicaStatus,
    committed: u53,
    lastPrepared: u53,
    /** True when a learner has caught up and waits to be promoted. */
    learned: bool,
    /** No room for writes: the group should take none. */
    diskFull: withDefault(bool, false),
  },
});

/** Restarted member to primary: may I count as a member again? (§12.2) */
export const Rejoin = defineMessage({
  code: 204,
  name: "rejoin",
  body: {
    ...head,
    lastPrepared: u53,
    committed: u53,
    /** Its log may lack its end (§12.5, §12.6). */
    mayLack: withDefault(bool, false),
    /** Largest ballot of a mutation it holds. */
    mutationBallot: withDefault(u53, 0),
  },
});

/** Primary to restarted member. Accepted only if the member holds everything committed. */
export const RejoinReply = defineMessage({
  code: 205,
  name: "rejoin_reply",
  body: { ...head, accepted: bool, reconcileEnd: u53, committed: u53 },
});

/** Learner to primary: where do I get what I lack? */
export const Learn = defineMessage({
  code: 206,
  name: "learn",
  body: { ...head, signature: u53, applied: u53, committed: u53 },
});

export const LearnReply = defineMessage({
  code: 207,
  name: "learn_reply",
  body: {
    ...head,
    signature: u53,
    error: u16,
    /** `cache`: everything is in `mutations`. `log`, `image`: fetch it with LearnFetch. */
    source: choice("cache", "log", "image"),
    /** Discard local state first: it belongs to a lost history. */
    fromScratch: bool,
    /** From this decree on the learner gets prepares; only with `cache`. */
    prepareStart: u53,
    committed: u53,
    reconcileEnd: u53,
    mutations: list(bytes, 100_000),
  },
});

/** Learner to primary: I have everything, promote me. Repeated until it happens. */
export const LearnCompletion = defineMessage({
  code: 208,
  name: "learn_completion",
  body: { ...head, signature: u53, lastPrepared: u53, committed: u53 },
});

/** Primary to a removed member. */
export const RemoveReplica = defineMessage({
  code: 209,
  name: "remove_replica",
  body: { ...head },
});

/** Restarted member whose log may lack its end, to the others: how far do you hold it? (§12.6) */
export const TailQuery = defineMessage({
  code: 210,
  name: "tail_query",
  body: { ...head },
});

/** Answer: highest decree held, and the largest ballot of a mutation. */
export const TailReport = defineMessage({
  code: 211,
  name: "tail_report",
  body: { ...head, maxPrepared: u53, mutationBallot: u53 },
});

/** One chunk of an image (rows) or of the log (mutations), pulled by the learner's driver. */
export const LearnFetch = defineRpc({
  code: 220,
  name: "learn_fetch",
  request: {
    partition: u53,
    from: str,
    signature: u53,
    source: choice("log", "image"),
    /** Log: first decree wanted. Image: number of the chunk, from 0 on; asking again for the same one is allowed. */
    position: u53,
    /** Name of the image; 0 opens a new one. */
    image: u53,
  },
  response: {
    /** Alternating key and value of image rows. */
    rows: list(bytes),
    /** Encoded mutations of a log chunk, by decree. */
    mutations: list(bytes),
    image: u53,
    /** Decree the image stands for. */
    decree: u53,
    /** True with the last chunk. */
    done: bool,
    /** CRC-32 over all rows of this chunk. */
    checksum: u32,
  },
});

export type PrepareMessage = Of<typeof Prepare.request>;
export type PrepareAckMessage = Of<typeof PrepareAck.request>;
export type GroupCheckMessage = Of<typeof GroupCheck.request>;
export type GroupCheckReplyMessage = Of<typeof GroupCheckReply.request>;
export type RejoinMessage = Of<typeof Rejoin.request>;
export type RejoinReplyMessage = Of<typeof RejoinReply.request>;
export type LearnMessage = Of<typeof Learn.request>;
export type LearnReplyMessage = Of<typeof LearnReply.request>;
export type LearnCompletionMessage = Of<typeof LearnCompletion.request>;
export type RemoveReplicaMessage = Of<typeof RemoveReplica.request>;
export type TailQueryMessage = Of<typeof TailQuery.request>;
export type TailReportMessage = Of<typeof TailReport.request>;

/** Every one-way message between the replicas of a partition, tagged for the core. */
export type PeerMessage =
  | { readonly kind: "prepare"; readonly body: PrepareMessage }
  | { readonly kind: "prepareAck"; readonly body: PrepareAckMessage }
  | { readonly kind: "groupCheck"; readonly body: GroupCheckMessage }
  | { readonly kind: "groupCheckReply"; readonly body: GroupCheckReplyMessage }
  | { readonly kind: "rejoin"; readonly body: RejoinMessage }
  | { readonly kind: "rejoinReply"; readonly body: RejoinReplyMessage }
  | { readonly kind: "learn"; readonly body: LearnMessage }
  | { readonly kind: "learnReply"; readonly body: LearnReplyMessage }
  | { readonly kind: "learnCompletion"; readonly body: LearnCompletionMessage }
  | { readonly kind: "removeReplica"; readonly body: RemoveReplicaMessage }
  | { readonly kind: "tailQuery"; readonly body: TailQueryMessage }
  | { readonly kind: "tailReport"; readonly body: TailReportMessage };

/** The declaration behind each kind of {@link PeerMessage}. */
export const PEER_RPC = {
  prepare: Prepare,
  prepareAck: PrepareAck,
  groupCheck: GroupCheck,
  groupCheckReply: GroupCheckReply,
  rejoin: Rejoin,
  rejoinReply: RejoinReply,
  learn: Learn,
  learnReply: LearnReply,
  learnCompletion: LearnCompletion,
  removeReplica: RemoveReplica,
  tailQuery: TailQuery,
  tailReport: TailReport,
} as const;
