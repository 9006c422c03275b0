/** Laws of entries: what is stored is read, as it was given. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import type * as Dependency from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Dependencies from "../dependencies.ts"
import { expect } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { awkward, texts, values } from "./samples.ts"
import { long, same, show } from "./scene.ts"

export const entryLaws: ReadonlyArray<Rule<never>> = [
  law("port", "what was stored is read as it was given, each time", function*(s) {
    const address = s.at("a", s.tag("known"))
    const draft = yield* s.put(address, { found: [s.tag("found")] })
    yield* s.serves(address, draft)
    yield* s.serves(address, draft)
  }),

  law("port", "a key that was never filled is a miss", function*(s) {
    yield* s.isMissing(s.at("a"))
  }),

  law("port", "payloads of all shapes come back equal", function*(s) {
    for (const [i, payload] of (s.store.payload === "text" ? texts : values).entries()) {
      const address = s.at(String(i))
      yield* s.serves(address, yield* s.put(address, { payload }))
    }
  }),

  law("port", "stamps of all shapes come back equal", function*(s) {
    const stamps: ReadonlyArray<Partial<CacheStore.Stamp>> = [
      { duration: 0, jitter: 0 },
      { duration: 1234.5678, jitter: 0.123456789012345, storedAt: 1e15, beganAt: 1e15 - 1234.5 },
      { versions: { schema: 2, "etag 🎬 \"*:": "W/\"1\"", __proto: "" } },
      { failure: true, shape: "" },
      { partsUntil: 1e15 + 0.5 },
      { dependencies: ["b", "a", "c \n🎬*:{}"].map((name) => s.tag(name)) },
      {
        dependencies: [
          Dependencies.rowField("film", "4:2", "title"),
          Dependencies.partitionMembers("film", "year", 1999n)
        ]
      }
    ]
    for (const [i, stamp] of stamps.entries()) {
      const address = s.at(String(i))
      yield* s.serves(address, yield* s.put(address, { stamp, found: stamp.dependencies ?? [] }))
    }
  }),

  law("port", "no two keys are one, whatever characters they hold", function*(s) {
    const drafts: Array<readonly [CacheStore.Address, CacheStore.Draft]> = []
    for (const parts of awkward) {
      const address = s.at(parts)
      yield* s.isMissing(address)
      drafts.push([address, yield* s.put(address)])
    }
    for (const [address, draft] of drafts) yield* s.serves(address, draft)
    for (const [address] of drafts) {
      yield* s.invalidate(Invalidation.keys(address.key))
      yield* s.isMissing(address)
    }
  }),

  law("G1", "no two dependencies are one, whatever characters they hold", function*(s) {
    const all: Array<readonly [CacheStore.Address, Dependency.Dependency, CacheStore.Draft]> = []
    for (const [i, parts] of awkward.entries()) {
      const address = s.at(String(i))
      const dependency = s.tag(parts.join("/"))
      all.push([address, dependency, yield* s.put(address, { found: [dependency] })])
    }
    for (const [i, [address, dependency]] of all.entries()) {
      yield* s.invalidate(Invalidation.dependencies(dependency))
      yield* s.isDead(address)
      for (const [other, , draft] of all.slice(i + 1)) yield* s.serves(other, draft)
    }
  }),

  law("port", "a later load replaces the entry, under another token", function*(s) {
    const address = s.at("a")
    const first = yield* s.serves(address, yield* s.put(address))
    const draft = yield* s.finish(yield* s.load(address, { seen: first.token }))
    const second = yield* s.serves(address, draft)
    yield* expect(second.token !== first.token, () => `both entries have the token ${first.token}`)
  }),

  law("G2", "a later load's dependencies replace those of the entry before", function*(s) {
    const address = s.at("a")
    yield* s.put(address, { found: [s.tag("old")] })
    const draft = yield* s.put(address, { found: [s.tag("new")] })
    yield* s.invalidate(Invalidation.dependencies(s.tag("old")))
    yield* s.serves(address, draft)
    yield* s.invalidate(Invalidation.dependencies(s.tag("new")))
    yield* s.isDead(address)
  }),

  law("port", "an entry keeps the name and the end that it was given", function*(s) {
    const address = s.at("a", s.tag("known"))
    const now = yield* s.now
    for (const expiresAt of [now + long, now + long + 0.5, Infinity]) {
      const draft = yield* s.put(address, { found: [s.tag("found")], token: s.service.token(), expiresAt })
      const begun = yield* s.begin(address)
      const entries = [yield* s.serves(address, draft), ...(begun._tag === "Found" ? [begun.entry] : [])]
      yield* expect(entries.length === 2, () => `begin should have found the entry, and answered ${begun._tag}`)
      for (const { expiresAt, token } of entries) {
        yield* expect(token === draft.token, () => `the entry was stored as ${draft.token}, and is named ${token}`)
        yield* expect(
          expiresAt === draft.expiresAt,
          () => `the entry should end at ${draft.expiresAt}, and says that it ends at ${expiresAt}`
        )
      }
    }
  }),

  law("port", "begin goes by the name that the entry was given, not by that of its lease", function*(s) {
    const address = s.at("a")
    const loading = yield* s.load(address)
    const draft = yield* s.finish(loading, { token: s.service.token() })
    for (const seen of [undefined, loading.lease.token, s.service.token()]) {
      const begun = yield* s.begin(address, { seen, drop: true })
      yield* expect(
        begun._tag === "Found" && begun.entry.token === draft.token,
        () => `begin should have found the entry ${draft.token}, and answered ${show(begun)}`
      )
      yield* s.serves(address, draft)
    }
    const over = yield* s.load(address, { seen: draft.token })
    yield* s.serves(address, draft)
    yield* s.store.abandon(address, over.lease.token)
    yield* s.load(address, { seen: draft.token, drop: true })
    yield* s.isMissing(address)
  }),

  law("G4", "what is past its time is not stored, and leaves nothing older", function*(s) {
    const address = s.at("a")
    const past = { expiresAt: (yield* s.now) - 1000 }
    yield* s.outcome(yield* s.commit(yield* s.load(address), past), "unstored")
    yield* s.isMissing(address)
    yield* s.put(address)
    yield* s.outcome(yield* s.commit(yield* s.load(address, { force: true }), past), "unstored")
    yield* s.isMissing(address)
  }),

  law("port", "inspecting says what is there, and changes nothing", function*(s) {
    const address = s.at("a", s.tag("known"))
    const inspect = Effect.suspend(() => s.store.inspect(address))
    const before = yield* inspect
    yield* expect(
      before.entry === undefined && before.leased === undefined && !before.fenced,
      () => `a key that was never used is inspected as ${show(before)}`
    )
    const loading = yield* s.load(address)
    const during = yield* inspect
    yield* expect(
      during.leased === loading.lease.token,
      () => `${loading.lease.token} has the lease, not ${during.leased}`
    )
    const draft = yield* s.finish(loading)
    const after = yield* inspect
    yield* expect(
      same(after.entry?.payload, draft.payload) && same(after.entry?.stamp, draft.stamp) &&
        after.leased === undefined &&
        after.removed === undefined,
      () => `the entry is inspected as ${show(after)}`
    )
    yield* s.serves(address, draft)
    yield* s.fence(Invalidation.dependencies(s.tag("known")))
    yield* expect((yield* inspect).fenced, () => "a fence stands over the key, and the inspection does not show it")
  }),

  law("port", "inspecting needs nothing but the stored key, where there is an entry", function*(s) {
    const address = s.at("a", s.tag("known"))
    const inspect = Effect.suspend(() => s.store.inspect({ key: address.key, known: [] }))
    const draft = yield* s.put(address, { found: [s.tag("found")] })
    const good = yield* inspect
    yield* expect(
      same(good.entry?.payload, draft.payload) && same(good.entry?.stamp, draft.stamp) && !good.entry?.changed?.size &&
        !good.entry?.softened && good.leased === undefined && !good.fenced,
      () => `an entry that is good is inspected as ${show(good)}`
    )
    yield* s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("found"))))
    yield* s.invalidate(Invalidation.soft(Invalidation.keys(address.key)))
    const marked = yield* inspect
    yield* expect(
      marked.entry?.changed?.get(s.tag("found")) === "soft" && marked.entry.changed.size === 1 && marked.entry.softened,
      () => `an entry whose key and dependency were invalidated softly is inspected as ${show(marked)}`
    )
    yield* s.fence(Invalidation.soft(Invalidation.dependencies(s.tag("found"))))
    yield* expect((yield* inspect).fenced, () => "a fence stands over the entry, and the inspection does not show it")
  })
]
