/** Laws that hold whatever an invalidation or a fence names: a dependency, a key, a pattern, everything. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import type * as Verdict from "../../Verdict.ts"
import type { Step } from "./law.ts"
import { raceRounds, whileRead } from "./races.ts"
import { law, type Rule } from "./rule.ts"
import type { Loaded, Scene } from "./scene.ts"

export const modes: ReadonlyArray<Verdict.Mode> = ["hard", "soft"]

/** One thing that covers the load of `a`, which has a known dependency and finds one. */
interface Target {
  readonly name: string
  readonly alone: boolean
  readonly over: (s: Scene) => Invalidation.Invalidation
  readonly invalidate: (s: Scene, mode: Verdict.Mode) => Step<unknown>
}

const batchTarget = (name: string, over: Target["over"]): Target => ({
  name,
  alone: false,
  over,
  invalidate: (s, mode) => s.invalidate(Invalidation.withMode(over(s), mode))
})

export const targets: ReadonlyArray<Target> = [
  batchTarget("a dependency of its key", (s) => Invalidation.dependencies(s.tag("known"))),
  batchTarget("a dependency of its value", (s) => Invalidation.dependencies(s.tag("found"))),
  batchTarget("its key", (s) => Invalidation.keys(s.key(["a", "b"]))),
  {
    name: "a pattern",
    alone: false,
    over: (s) => Invalidation.pattern(s.pattern("a", undefined)),
    invalidate: (s, mode) => s.sweep(s.pattern("a", undefined), mode)
  },
  {
    name: "everything",
    alone: true,
    over: () => Invalidation.everything,
    invalidate: (s, mode) => s.sweep("everything", mode)
  }
]

// What walks the keyspace takes a remote store long, and races no other step of a read than a key does.
const raceRoundsOf = (name: string): number =>
  name === "a pattern" || name === "everything" ? raceRounds / 3 : raceRounds

export const covered = (s: Scene): CacheStore.Address => s.at(["a", "b"], s.tag("known"))

export const finding = (s: Scene): Loaded => ({ found: [s.tag("found")] })

export const targetLaws: ReadonlyArray<Rule<never>> = targets.flatMap(({ alone, invalidate, name, over }) => [
  ...modes.flatMap((mode) => [
    law("G1", `a load is refused if ${name} is invalidated before it ends (${mode})`, function*(s) {
      const loading = yield* s.load(covered(s))
      yield* invalidate(s, mode)
      yield* s.refused(yield* s.commit(loading, finding(s)))
      yield* s.isNotFresh(loading.address)
    }, alone),

    law("G1", `a load is refused if ${name} is invalidated twice before it ends (${mode})`, function*(s) {
      yield* s.put(covered(s), finding(s))
      yield* invalidate(s, mode)
      const loading = yield* s.load(covered(s), { force: true })
      yield* invalidate(s, mode)
      yield* invalidate(s, mode)
      yield* s.refused(yield* s.commit(loading, finding(s)))
      yield* s.isNotFresh(loading.address)
    }, alone),

    law("G3", `a load of which nothing is stored is not shared if ${name} was invalidated (${mode})`, function*(s) {
      const loading = yield* s.load(covered(s))
      yield* invalidate(s, mode)
      yield* s.refused(yield* s.discard(loading, [s.tag("known"), s.tag("found")]))
    }, alone),

    law("port", `a load is stored if ${name} was invalidated before it began (${mode})`, function*(s) {
      yield* invalidate(s, mode)
      const draft = yield* s.put(covered(s), finding(s))
      yield* s.serves(covered(s), draft)
    }, alone)
  ]),

  law("G1", `an entry is dead when ${name} was invalidated, and stays so`, function*(s) {
    const draft = yield* s.put(covered(s), finding(s))
    yield* s.serves(covered(s), draft)
    for (let times = 0; times < 4; times++) {
      yield* invalidate(s, "hard")
      yield* s.isDead(covered(s))
    }
    yield* s.serves(covered(s), yield* s.put(covered(s), finding(s)))
  }, alone),

  law("port", `an entry is marked softly when ${name} was invalidated softly`, function*(s) {
    const draft = yield* s.put(covered(s), finding(s))
    yield* invalidate(s, "soft")
    yield* s.servesSoftly(covered(s), draft)
    yield* invalidate(s, "soft")
    yield* s.servesSoftly(covered(s), draft)
    yield* s.serves(covered(s), yield* s.put(covered(s), finding(s)))
  }, alone),

  law("G1", `hard after soft is hard, and soft after hard stays hard (${name})`, function*(s) {
    yield* s.put(covered(s), finding(s))
    yield* invalidate(s, "soft")
    yield* invalidate(s, "hard")
    yield* s.isDead(covered(s))
    yield* invalidate(s, "soft")
    yield* s.isDead(covered(s))
  }, alone),

  law("G1", `a commit that races an invalidation leaves nothing that looks good (${name})`, function*(s) {
    for (let round = 0; round < 20; round++) {
      const loading = yield* s.load(covered(s), { force: true })
      const both = [Effect.asVoid(s.commit(loading, finding(s))), Effect.asVoid(invalidate(s, "hard"))]
      yield* Effect.all(round % 2 === 0 ? both : both.reverse(), { concurrency: "unbounded" })
      yield* s.isDead(covered(s))
    }
  }, alone),

  law("G1", `a read that races an invalidation of ${name} keeps nothing old`, function*(s) {
    for (let round = 0; round < raceRoundsOf(name); round++) {
      const mode = round % 4 < 2 ? "hard" : "soft"
      yield* s.fill(covered(s), finding(s))
      yield* whileRead(s, covered(s), round, Effect.asVoid(invalidate(s, mode)))
      if (mode === "hard") yield* s.isDead(covered(s))
      else yield* s.isNotFresh(covered(s))
    }
  }, alone),

  law("G7", `a read that races a fence over ${name} keeps nothing old`, function*(s) {
    for (let round = 0; round < raceRoundsOf(name); round++) {
      yield* s.fill(covered(s), finding(s))
      const fence = yield* whileRead(s, covered(s), round, s.fence(over(s)))
      yield* s.isDead(covered(s))
      yield* whileRead(s, covered(s), round, s.lift(fence))
      yield* s.isDead(covered(s))
    }
  }, alone),

  law("G7", `what begins under a fence over ${name} is not stored`, function*(s) {
    const fence = yield* s.fence(over(s))
    const loading = yield* s.load(covered(s))
    yield* s.outcome(yield* s.commit(loading, finding(s)), "fenced")
    yield* s.isMissing(covered(s))
    yield* s.outcome(yield* s.commit(yield* s.load(covered(s)), finding(s)), "fenced")
    yield* s.isMissing(covered(s))
    yield* s.lift(fence)
  }, alone),

  law("G7", `what begins under a fence over ${name} is refused once it is lifted`, function*(s) {
    const fence = yield* s.fence(over(s))
    const loading = yield* s.load(covered(s))
    yield* s.lift(fence)
    yield* s.refused(yield* s.commit(loading, finding(s)))
    yield* s.isMissing(covered(s))
    yield* s.serves(covered(s), yield* s.put(covered(s), finding(s)))
  }, alone),

  law("G7", `what begins under a fence over ${name} may be shared while it stands, and is not stored`, function*(s) {
    const both = [s.tag("known"), s.tag("found")]
    const fence = yield* s.fence(over(s))
    const [first, second] = [yield* s.load(covered(s)), yield* s.load(s.at("other", s.tag("unlike")))]
    yield* s.outcome(yield* s.discard(first, both), "fenced")
    if (name !== "everything") yield* s.outcome(yield* s.discard(second, second.address.known), "unstored")
    const third = yield* s.load(covered(s))
    yield* s.lift(fence)
    yield* s.refused(yield* s.discard(third, both))
  }, alone),

  law("G7", `what began before a fence over ${name} is refused`, function*(s) {
    const before = yield* s.load(covered(s))
    const fence = yield* s.fence(over(s))
    yield* s.refused(yield* s.commit(before, finding(s)))
    yield* s.isDead(covered(s))
    // By force, since the refused load may have left an entry that is dead.
    const again = yield* s.load(covered(s), { force: true })
    yield* s.lift(fence)
    yield* s.refused(yield* s.commit(again, finding(s)))
    yield* s.isDead(covered(s))
  }, alone),

  law("G7", `a fence over ${name} ends what was stored, as hard or soft as it is`, function*(s) {
    yield* s.put(covered(s), finding(s))
    const hard = yield* s.fence(over(s))
    yield* s.isDead(covered(s))
    yield* s.lift(hard)
    yield* s.isDead(covered(s))
    const draft = yield* s.put(covered(s), finding(s))
    const soft = yield* s.fence(Invalidation.soft(over(s)))
    yield* s.servesSoftly(covered(s), draft)
    yield* s.lift(soft)
    yield* s.servesSoftly(covered(s), draft)
  }, alone)
])
