/**
 * The diagrams of the documentation: `node scripts/diagrams.ts`. A test compares them with the committed ones.
 */
import * as Lanes from "./diagrams/lanes.ts"
import { sequence } from "./diagrams/sequence.ts"
import { write } from "./write.ts"

const lanes = ["readers", "the cache", "a writer"]

const writes: ReadonlyArray<Lanes.Bar> = [
  { lane: 2, from: 9, to: 25, says: "price = 12,\ncommitted" },
  { lane: 2, from: 26, to: 41, says: "invalidates" }
]

const returned = { at: 41, says: "The invalidation has returned:\nfrom here on every read must give 12." }

const race = Lanes.compare(
  "A load and a write at the same time",
  "In other caches a load that was under way during an invalidation stores the old value afterwards, and every later " +
    "read gives it until its time to live ends. Here the invalidation replaces the token under which the load began. " +
    "The store refuses what was loaded, the waiters look again, and every later read gives the new value.",
  [
    {
      title: "In other caches",
      outcome: "Every later read gives 10, until its hour is over.",
      tone: "bad",
      lanes,
      bars: [
        { lane: 0, from: 0, to: 52, says: "one misses, and loads:\nthe row says 10" },
        { lane: 0, from: 66, to: 80, says: "reads 10", tone: "bad" },
        { lane: 0, from: 86, to: 100, says: "reads 10", tone: "bad" },
        { lane: 1, from: 0, to: 52, says: "nothing" },
        { lane: 1, from: 52, to: 100, says: "10, for an hour", tone: "bad" },
        ...writes
      ],
      moves: [
        { from: 2, to: 1, at: 33, says: "deletes the key", side: "left" },
        { from: 0, to: 1, at: 52, says: "stores 10", tone: "bad" },
        { from: 1, to: 0, at: 73, tone: "bad" },
        { from: 1, to: 0, at: 93, tone: "bad" }
      ],
      moment: returned
    },
    {
      title: "Here",
      outcome: "Every later read gives 12.",
      tone: "good",
      lanes,
      bars: [
        { lane: 0, from: 0, to: 52, says: "one misses, takes the lease, notes token a,\nand loads: the row says 10" },
        { lane: 0, from: 55, to: 80, says: "the waiters look\nagain, and load 12" },
        { lane: 0, from: 86, to: 100, says: "reads 12", tone: "good" },
        { lane: 1, from: 0, to: 33, says: "nothing, token a" },
        { lane: 1, from: 33, to: 80, says: "nothing, token b" },
        { lane: 1, from: 80, to: 100, says: "12, token b", tone: "good" },
        ...writes
      ],
      moves: [
        { from: 2, to: 1, at: 33, says: "replaces the token", side: "left" },
        { from: 0, to: 1, at: 52, says: "refused: token a is gone", tone: "bad", refused: true },
        { from: 0, to: 1, at: 80, says: "stores 12", tone: "good" },
        { from: 1, to: 0, at: 93, tone: "good" }
      ],
      moment: returned
    }
  ]
)

const betweenLanes = ["a load", "the store", "a writer"]

const betweenSteps = Lanes.compare(
  "A page is loaded between two steps of an invalidation",
  "A page is made of a cached card, and an invalidation covers both in two steps. Without a fence a load begins after the " +
    "first step and reads the old card before the second. It is stored under the new token of the page. With a fence over " +
    "both steps the load began under a fence that is gone when it ends, so it is refused.",
  [
    {
      title: "Two steps",
      outcome: "Every later read of the page gives 10.",
      tone: "bad",
      lanes: betweenLanes,
      bars: [
        { lane: 0, from: 26, to: 69, says: "begins under the new token of the page,\nand reads the old card: 10" },
        { lane: 1, from: 0, to: 18, says: "both tokens\nare old" },
        { lane: 1, from: 18, to: 53, says: "the page has a new token,\nthe card an old one" },
        { lane: 1, from: 53, to: 69, says: "both tokens\nare new" },
        { lane: 1, from: 69, to: 100, says: "the page: 10,\nunder a token that is good", tone: "bad" },
        { lane: 2, from: 9, to: 27, says: "step 1:\nthe page's tag" },
        { lane: 2, from: 44, to: 62, says: "step 2:\nthe card's tag" }
      ],
      moves: [
        { from: 2, to: 1, at: 18 },
        { from: 2, to: 1, at: 53 },
        { from: 0, to: 1, at: 69, says: "stores the page", tone: "bad" }
      ],
      moment: { at: 62, says: "The invalidation has returned:\nevery read must give 12." }
    },
    {
      title: "Two steps behind a fence",
      outcome: "Every later read of the page gives 12.",
      tone: "good",
      lanes: betweenLanes,
      bars: [
        { lane: 0, from: 26, to: 69, says: "begins under the fence,\nand reads the old card: 10" },
        { lane: 1, from: 0, to: 18, says: "both tokens\nare old" },
        { lane: 1, from: 18, to: 53, says: "a fence stands over both", tone: "fence" },
        { lane: 1, from: 53, to: 100, says: "both tokens are new, and no page is stored", tone: "good" },
        { lane: 2, from: 9, to: 27, says: "opens the fence,\nstep 1" },
        { lane: 2, from: 44, to: 62, says: "step 2,\nlifts the fence" }
      ],
      moves: [
        { from: 2, to: 1, at: 18 },
        { from: 2, to: 1, at: 53 },
        { from: 0, to: 1, at: 69, says: "refused: the fence is gone", tone: "bad", refused: true }
      ],
      moment: { at: 62, says: "The invalidation has returned:\nevery read must give 12." }
    }
  ]
)

const begin = sequence(
  "begin: a load gets its lease",
  "The interpreter reads an entry and finds none that may be served. It asks the store to begin. The store captures " +
    "the tokens of the dependencies that are known from the key, takes the lease of the key, and reads the position of the " +
    "journal and the fences, in this order. It answers Leased, and the lookup runs; or Busy, and the caller waits; or " +
    "Found, and the entry that was stored meanwhile is served.",
  ["caller", "interpreter", "store", "origin"],
  [
    { from: "caller", to: "interpreter", says: "get(key)" },
    { from: "interpreter", to: "store", says: "read(key)" },
    { from: "store", to: "interpreter", says: "no entry to be served", reply: true },
    { from: "interpreter", to: "store", says: "begin(key)" },
    {
      over: "store",
      upTo: "origin",
      does:
        "1. captures the tokens of the dependencies that are known from the key\n2. takes the lease of the key\n3. reads the journal's position and the fences"
    },
    { when: "Leased: the key has no lease that still stands", tone: "good" },
    { from: "store", to: "interpreter", says: "the lease", reply: true, tone: "good" },
    { from: "interpreter", to: "origin", says: "lookup(key)" },
    { when: "Busy: another load has the lease" },
    { from: "store", to: "interpreter", says: "whose lease it is", reply: true },
    {
      over: "caller",
      upTo: "interpreter",
      does: "Waits for that load. If it runs in another process, waits until its lease is released, and reads again."
    },
    { when: "Found: an entry has been stored since the read" },
    { from: "store", to: "interpreter", says: "the entry", reply: true },
    { from: "interpreter", to: "caller", says: "its value", reply: true }
  ]
)

const commit = sequence(
  "commit: what was loaded is stored, or refused",
  "The origin answers. The interpreter adds the dependencies that the policy finds in the value and asks the store to " +
    "commit. The store checks the lease, the journal and the fences. If all is well it stores the entry, and the caller " +
    "and all waiters are given the value. If not it refuses, and the waiters look again.",
  ["caller", "interpreter", "store", "origin"],
  [
    { from: "origin", to: "interpreter", says: "the value", reply: true },
    { over: "caller", upTo: "interpreter", does: "The policy finds more dependencies in it." },
    { from: "interpreter", to: "store", says: "commit(lease, entry)" },
    {
      over: "store",
      upTo: "origin",
      does:
        "1. The lease is still the key's.\n2. No dependency was invalidated since begin.\n3. No fence stood over the load when it began."
    },
    { when: "stored: all three are true", tone: "good" },
    { from: "store", to: "interpreter", says: "stored", reply: true, tone: "good" },
    { from: "interpreter", to: "caller", says: "the value, to all waiters", reply: true },
    { when: "fenced: a fence stood when the load began, and still stands", tone: "fence" },
    { from: "store", to: "interpreter", says: "fenced: not stored", reply: true, tone: "fence" },
    { from: "interpreter", to: "caller", says: "the value, to all waiters", reply: true },
    { when: "lost or invalidated: the lease, a token or the fence is gone", tone: "bad" },
    { from: "store", to: "interpreter", says: "refused: not stored", reply: true, tone: "bad" },
    {
      over: "caller",
      upTo: "interpreter",
      does: "Callers that began to read before this load did\nget its value. All other waiters look again.",
      tone: "bad"
    }
  ]
)

const invalidate = sequence(
  "invalidate: after the commit of a write",
  "A writer commits and then invalidates. For a dependency the store notes it in the journal first and replaces its " +
    "token second. For a key it removes entry and lease together. Then the invalidation returns. If the store does not " +
    "acknowledge it, the writer is given an InvalidationError, and the invalidation is tried again until it is " +
    "acknowledged.",
  ["origin", "writer", "interpreter", "store"],
  [
    { from: "writer", to: "origin", says: "write" },
    { from: "origin", to: "writer", says: "committed", reply: true },
    { from: "writer", to: "interpreter", says: "invalidate(targets)" },
    { from: "interpreter", to: "store", says: "invalidate(targets)" },
    {
      over: "interpreter",
      upTo: "store",
      does:
        "A dependency: the journal notes it first,\nand its token is replaced second.\nA key: its entry and lease are removed together."
    },
    { when: "If the store acknowledges it", tone: "good" },
    { from: "store", to: "interpreter", says: "done", reply: true, tone: "good" },
    { from: "interpreter", to: "writer", says: "returns", reply: true, tone: "good" },
    {
      over: "origin",
      upTo: "writer",
      does: "No read that starts after this\ngives what was loaded before.",
      tone: "good"
    },
    { when: "If the store does not answer", tone: "bad" },
    { from: "interpreter", to: "writer", says: "InvalidationError", reply: true, tone: "bad" },
    {
      over: "interpreter",
      upTo: "store",
      does: "It is tried again until it is acknowledged. Until then this process serves nothing that it covers.",
      tone: "bad"
    }
  ]
)

const fence = sequence(
  "mutate: a write behind a fence",
  "mutate opens a fence over its targets, which invalidates them, runs the write, and lifts the fence. A load that begins " +
    "while the fence stands may read the old row. If it ends while the fence stands it is served and not stored; if it " +
    "ends afterwards it is refused.",
  ["a load", "store", "mutate", "origin"],
  [
    { from: "mutate", to: "store", says: "fence(targets, 30 s)" },
    { over: "store", does: "The fence stands.\nIts targets are invalidated.", tone: "fence" },
    { from: "mutate", to: "origin", says: "write, in a transaction" },
    { from: "a load", to: "store", says: "begin(key)" },
    { from: "store", to: "a load", says: "the lease, fenced", reply: true, tone: "fence" },
    { over: "a load", does: "Reads the old row: the\nwrite is not committed." },
    { from: "origin", to: "mutate", says: "committed", reply: true },
    { from: "mutate", to: "store", says: "lift" },
    { from: "store", to: "mutate", says: "it stood all the time", reply: true, tone: "good" },
    { over: "mutate", upTo: "origin", does: "Done: there is nothing left to invalidate.", tone: "good" },
    { from: "a load", to: "store", says: "commit(lease, entry)" },
    { from: "store", to: "a load", says: "invalidated: refused", reply: true, tone: "bad" },
    { over: "a load", does: "The waiters look again,\nand read the new row.", tone: "good" },
    { when: "If the load ends while the fence stands, its value is served and not stored", tone: "fence" },
    { from: "store", to: "a load", says: "fenced: not stored", reply: true, tone: "fence" },
    { when: "If the fence ran out, or was lost, before it was lifted", tone: "bad" },
    { from: "store", to: "mutate", says: "it did not stand", reply: true, tone: "bad" },
    { from: "mutate", to: "store", says: "invalidate(targets)" }
  ]
)

/** The files, by their paths below the root. */
export const files: Readonly<Record<string, string>> = {
  "docs/race.svg": race,
  "docs/consistency/begin.svg": begin,
  "docs/consistency/commit.svg": commit,
  "docs/consistency/invalidate.svg": invalidate,
  "docs/consistency/fence.svg": fence,
  "docs/consistency/between-two-steps.svg": betweenSteps
}

if (import.meta.main) write(files)
