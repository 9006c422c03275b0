/** Plays operations on a store and on the model at once, and compares what they answer. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../../CacheStore.ts"
import * as Dependency from "../../../Dependency.ts"
import * as Invalidation from "../../../Invalidation.ts"
import * as Key from "../../../Key.ts"
import { broken, expect, type Instruments, type Step } from "../law.ts"
import { isMarked, same, type Scene, show, showEntry } from "../scene.ts"
import { type Fact, type InFlightLoad, type Known, Model, type OpenFence, sameMarks } from "./model.ts"
import {
  describe,
  keyParts,
  knownOf,
  type Mode,
  type Names,
  type Operation,
  patternParts,
  tagNames
} from "./operation.ts"

/** One sequence of operations, played on the store and on the model at once. */
export class Play {
  readonly scene: Scene
  readonly instruments: Instruments<never>
  /** Whether the store may miss and refuse more than the model. */
  readonly lenient: boolean
  readonly model = new Model()
  readonly log: Array<string> = []
  private readonly loads = new Map<number, InFlightLoad>()
  /** What each process saw last of each key. */
  private readonly seen = new Map<string, { readonly inFlight: InFlightLoad; readonly token: CacheStore.Token }>()
  /** Under which something was stored, so that they must own up to having been lost. */
  private readonly pierced = new Set<OpenFence>()

  constructor(scene: Scene, instruments: Instruments<never>, exact: boolean) {
    this.scene = scene
    this.instruments = instruments
    this.lenient = !exact
  }

  address(key: number): CacheStore.Address {
    return this.scene.at(keyParts[key]!, ...knownOf[key]!.map((i) => this.tag(i)))
  }

  tag(i: number): Dependency.Dependency {
    return this.scene.tag(tagNames[i]!)
  }

  pattern(i: number): Key.Pattern {
    return this.scene.pattern(...patternParts[i]!)
  }

  batch({ dependencies, keys }: Names): Invalidation.Invalidation {
    return Invalidation.combineAll([
      ...keys.map(([i, mode]) => Invalidation.withMode(Invalidation.keys(this.address(i).key), mode)),
      ...dependencies.map(([i, mode]) => Invalidation.withMode(Invalidation.dependencies(this.tag(i)), mode))
    ])
  }

  /** Plays one operation, and fails if the store's answer is none that the model allows. */
  play(operation: Operation): Step<void> {
    return Effect.flatMap(this.scene.now, (now) => {
      const line = this.log.length
      this.log.push(describe(operation))
      const note = (answer: string) => {
        this.log[line] += ` => ${answer}`
      }
      switch (operation._tag) {
        case "Read":
          return this.read(operation, note)
        case "Begin":
          return this.begin(operation, now, note)
        case "Repeat":
          return this.repeat(operation, now, note)
        case "Commit":
          return this.commit(operation, now, note)
        case "Discard":
          return this.discard(operation, now, note)
        case "Abandon":
          return this.abandon(operation)
        case "Invalidate":
          return Effect.map(this.scene.invalidate(this.batch(operation)), () => this.touch(operation))
        case "Sweep":
          return Effect.map(
            this.scene.sweep(this.pattern(operation.pattern), operation.mode),
            () => this.touchPattern(operation.pattern, operation.mode)
          )
        case "Fence":
          return this.fence(operation, now)
        case "Lift":
          return this.lift(operation, now, note)
        case "Advance":
          return Effect.asVoid(this.instruments.advance?.(operation.millis) ?? Effect.void)
        case "Lose":
          return this.lose(operation)
      }
    })
  }

  private touchKey(key: number, mode: Mode): void {
    this.model.note({ _tag: "voided", key }, mode === "hard" ? { _tag: "gone", key } : { _tag: "softened", key })
  }

  private touch({ dependencies, keys }: Names): void {
    for (const [key, mode] of keys) this.touchKey(key, mode)
    for (const [i, mode] of dependencies) this.model.note({ _tag: "touched", dependency: this.tag(i), mode })
  }

  private touchPattern(pattern: number, mode: Mode): void {
    for (const key of keyParts.keys()) {
      if (Key.matches(this.pattern(pattern), this.address(key).key)) this.touchKey(key, mode)
    }
  }

  // ----- entries

  /** Compares an entry that the store gave with the one that is known. */
  private compare(key: number, by: number, actual: CacheStore.Entry, known: Known | undefined): Step<void> {
    if (known === undefined || !same(known.draft.payload, actual.payload)) {
      const refused = this.leftover(key, actual)
      if (refused === undefined) {
        return broken(
          `there should be ${known === undefined ? "nothing" : show(known.draft.payload)}, and is ${showEntry(actual)}`
        )
      }
      known = refused
    }
    const { draft, inFlight, marks, softened } = known
    const actualMarks = actual.changed ?? new Map()
    const weaker = [...marks].filter(([name, mode]) =>
      mode === "hard" ? actualMarks.get(name) !== "hard" : !actualMarks.has(name)
    )
    const wrong = !same(draft.stamp, actual.stamp)
      ? `the stamp should be ${show(draft.stamp)}, and is ${show(actual.stamp)}`
      : draft.token !== actual.token
      ? `its token should be ${draft.token}, and is ${actual.token}`
      : weaker.length > 0
      ? `it should be marked${weaker.map(([name, mode]) => ` ${mode} ${Dependency.format(name)}`).join(",")}`
      : softened && !actual.softened
      ? "it should be softened"
      : !this.lenient && (!sameMarks(marks, actualMarks) || softened !== actual.softened)
      ? "it is marked without a reason"
      : undefined
    if (wrong !== undefined) return broken(`${wrong}: ${showEntry(actual)}`)
    this.seen.set(`${by} ${key}`, { inFlight, token: actual.token })
    // What is found dead must stay so.
    for (const [dependency, mode] of actualMarks) this.model.note({ _tag: "marked", key, dependency, mode })
    if (actual.softened && !softened) this.model.note({ _tag: "softened", key })
    return Effect.void
  }

  /** Where steps come apart, a load that is refused may have stored an entry that is dead from the start. */
  private leftover(key: number, actual: CacheStore.Entry): Known | undefined {
    const inFlight = [...this.loads.values()].find((one) =>
      one.key === key && one.draft !== undefined && same(one.draft.payload, actual.payload)
    )
    if (inFlight?.draft === undefined || !isMarked(actual)) return undefined
    const { draft } = inFlight
    const since = this.model.facts.slice(inFlight.since)
    if (since.some((fact) => fact._tag === "stored" && fact.inFlight === inFlight)) return undefined
    const marks = since.flatMap((fact): ReadonlyArray<Fact> => {
      if (fact._tag === "softened" && fact.key === key) return [fact]
      const touched = fact._tag === "touched" && draft.stamp.dependencies.includes(fact.dependency)
      return touched ? [{ ...fact, _tag: "marked", key }] : []
    })
    if (marks.length === 0 && !this.lenient) return undefined
    this.model.note({ _tag: "stored", inFlight, draft: { ...draft, fatal: new Set() } }, ...marks)
    return this.model.entry(key)
  }

  private read({ by, key }: Extract<Operation, { _tag: "Read" }>, note: (answer: string) => void): Step<void> {
    return Effect.flatMap(this.scene.read(this.address(key)), (actual) => {
      note(showEntry(actual))
      const known = this.model.entry(key)
      if (actual !== undefined) return this.compare(key, by, actual, known)
      if (known !== undefined && !known.mayBeGone && !this.lenient) {
        return broken(`there should be ${show(known.draft.payload)}, and is nothing`)
      }
      this.model.note({ _tag: "gone", key })
      return Effect.void
    })
  }

  // ----- loads

  private begin(
    operation: Extract<Operation, { _tag: "Begin" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const { by, drop, force, key, leaseFor } = operation
    const address = this.address(key)
    const seen = operation.seen ? this.seen.get(`${by} ${key}`) : undefined
    return Effect.flatMap(this.scene.begin(address, { seen: seen?.token, drop, force, leaseFor }), (begun) => {
      note(begun._tag === "Found" ? `Found ${showEntry(begun.entry)}` : begun._tag)
      const known = this.model.entry(key)
      const unseen = known !== undefined && !force && known.inFlight !== seen?.inFlight
      if (begun._tag === "Found") {
        if (force || begun.entry.token === seen?.token) return broken("begin should not have looked at the entry")
        return this.compare(key, by, begun.entry, known)
      }
      if (unseen && !known.mayBeGone && !this.lenient) {
        return broken(`begin should have found ${show(known.draft.payload)}`)
      }
      if (unseen || (known !== undefined && drop)) this.model.note({ _tag: "gone", key })
      return this.granted(begun, address, operation, now)
    })
  }

  private granted(
    begun: Exclude<CacheStore.Begun, { _tag: "Found" }>,
    address: CacheStore.Address,
    { force, id, key, leaseFor }: Extract<Operation, { _tag: "Begin" }>,
    now: number
  ): Step<void> {
    const holder = this.model.holder(key)
    const held = holder !== undefined && now < holder.until && !force
    if (begun._tag === "Busy") {
      if (!held) return broken("begin should have given the lease")
      const { loading: { lease } } = holder
      if (begun.token !== lease.token) return broken("begin should have named another lease")
      return expect(
        begun.position === undefined || begun.position !== lease.position || this.model.unmovedSince(holder, now),
        () => "something happened since the load began, and the position is the same"
      )
    }
    // A load that is void need not be waited for.
    const voided = holder !== undefined && this.model.touchedSince(holder.since, address.known)
    if (held && !voided && !this.lenient) return broken(`begin should have said that load ${holder.id} has the lease`)
    if (holder !== undefined) this.model.note({ _tag: "ended", inFlight: holder })
    const inFlight: InFlightLoad = {
      id,
      key,
      loading: { address, lease: begun.lease },
      until: now + leaseFor,
      since: this.model.facts.length,
      fences: this.model.standing(now),
      draft: undefined
    }
    this.loads.set(id, inFlight)
    this.model.note({ _tag: "began", inFlight })
    return Effect.void
  }

  /** Asks again for a lease that one has, as one does who got no answer. */
  private repeat(
    { load }: Extract<Operation, { _tag: "Repeat" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const inFlight = this.loads.get(load)
    if (inFlight === undefined || this.model.holder(inFlight.key) !== inFlight || now >= inFlight.until) {
      return Effect.void
    }
    const { address, lease: { token } } = inFlight.loading
    return Effect.flatMap(
      this.scene.begin(address, { token, force: true, leaseFor: inFlight.until - now }),
      (begun) => {
        note(begun._tag)
        return expect(
          begun._tag === "Leased" && begun.lease.token === token,
          () => "begin should have given the lease again"
        )
      }
    )
  }

  private commit(
    operation: Extract<Operation, { _tag: "Commit" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const inFlight = this.loads.get(operation.load)
    if (inFlight === undefined) return Effect.void
    const draft = this.scene.draft(inFlight.loading, now, {
      found: operation.found.map((i) => this.tag(i)),
      fatal: operation.fatal.map((i) => this.tag(i)),
      ...(operation.late ? { expiresAt: now - 1000 } : {}),
      ...(operation.renamed ? { token: this.scene.service.token() } : {})
    })
    // A second commit of a load must be refused, so what it would have stored does not matter.
    inFlight.draft ??= draft
    return Effect.flatMap(this.scene.commitDraft(inFlight.loading, draft), (outcome) => {
      note(`${outcome} (${show(draft.payload)})`)
      const allowed = this.outcomes(inFlight, draft.stamp.dependencies, draft.expiresAt, now)
      if (!allowed.includes(outcome)) return broken(`commit should have answered ${allowed.join(" or ")}`)
      const over = this.fencesOver(inFlight, draft.stamp.dependencies)
      this.model.note({ _tag: "ended", inFlight })
      if (outcome === "stored") {
        for (const open of over) this.pierced.add(open)
        this.model.note({ _tag: "stored", inFlight, draft })
      }
      if (outcome === "unstored") this.model.note({ _tag: "gone", key: inFlight.key })
      return Effect.void
    })
  }

  private fencesOver(
    { fences, loading }: InFlightLoad,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined
  ): ReadonlyArray<OpenFence> {
    return dependencies === undefined
      ? fences
      : fences.filter(({ fence }) => Invalidation.covers(fence.over, loading.address.key, dependencies))
  }

  /** What a store may answer to a commit; or, of what never expires, to one of which nothing is stored. */
  private outcomes(
    inFlight: InFlightLoad,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined,
    expiresAt: number,
    now: number
  ): ReadonlyArray<CacheStore.Outcome> {
    const { model } = this
    const touched = model.touchedSince(inFlight.since, dependencies)
    const over = this.fencesOver(inFlight, dependencies)
    const seen = over.filter((open) => !model.mayBeUnseen(open, inFlight.since))
    const stand = (fences: ReadonlyArray<OpenFence>) => fences.every((open) => model.stands(open, now))
    if (model.holder(inFlight.key) !== inFlight) return touched || !stand(over) ? ["lost", "invalidated"] : ["lost"]
    const more: Array<CacheStore.Outcome> = this.lenient
      ? ["lost", "invalidated"]
      // The lease was not taken again, and the store may have dropped it.
      : now >= inFlight.until
      ? ["lost"]
      : []
    if (touched) return ["invalidated", ...more]
    if (over.length > 0 && stand(seen)) more.push("fenced")
    if (over.length > 0 && !stand(over)) more.push("invalidated")
    if (seen.length > 0) return more
    return expiresAt <= now
      ? ["unstored", ...more]
      : this.lenient
      ? ["stored", "unstored", ...more]
      : ["stored", ...more]
  }

  private discard(
    { found, load }: Extract<Operation, { _tag: "Discard" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const inFlight = this.loads.get(load)
    if (inFlight === undefined) return Effect.void
    const { address, lease } = inFlight.loading
    const dependencies = found && [...new Set([...address.known, ...found.map((i) => this.tag(i))])]
    return Effect.flatMap(this.scene.store.discard(address, lease, dependencies), (outcome) => {
      note(outcome)
      // What others invalidate counts as well where the dependencies are not known.
      const allowed = [
        ...this.outcomes(inFlight, dependencies, -Infinity, now),
        ...(dependencies === undefined ? ["invalidated" as const] : [])
      ]
      this.model.note({ _tag: "ended", inFlight })
      return expect(
        outcome !== "stored" && allowed.includes(outcome),
        () => `discard should have answered ${allowed.join(" or ")}`
      )
    })
  }

  private abandon({ load, stranger }: Extract<Operation, { _tag: "Abandon" }>): Step<void> {
    const inFlight = this.loads.get(load)
    if (inFlight === undefined) return Effect.void
    const { address, lease } = inFlight.loading
    const token = stranger ? this.scene.service.token() : lease.token
    return Effect.map(this.scene.store.abandon(address, token), () => {
      if (!stranger) this.model.note({ _tag: "ended", inFlight })
    })
  }

  // ----- fences

  private fence(operation: Extract<Operation, { _tag: "Fence" }>, now: number): Step<void> {
    const over = operation.pattern === undefined
      ? this.batch(operation)
      : Invalidation.combine(this.batch(operation), Invalidation.pattern(this.pattern(operation.pattern)))
    return Effect.map(this.scene.fence(over, operation.length), (fence) => {
      this.model.note({ _tag: "fenced", open: { id: operation.id, fence, until: now + operation.length } })
      this.touch(operation)
      if (operation.pattern !== undefined) this.touchPattern(operation.pattern, "hard")
    })
  }

  private lift(
    { fence: id }: Extract<Operation, { _tag: "Lift" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const open = this.model.fence(id)
    if (open === undefined) return Effect.void
    return Effect.flatMap(this.scene.lift(open.fence), (stood) => {
      note(String(stood))
      const stands = this.model.stands(open, now)
      this.model.note({ _tag: "lifted", id, stood })
      if (stood && !stands) return broken("the fence did not stand, and lifting it said that it did")
      if (stood && this.pierced.has(open)) {
        return broken("something was stored under the fence, and lifting it said that it stood")
      }
      return expect(stood || !stands || this.lenient, () => "the fence stood, and lifting it said that it did not")
    })
  }

  private lose({ key, what }: Extract<Operation, { _tag: "Lose" }>): Step<void> {
    const way = this.instruments.lose?.[what]
    if (way === undefined) return Effect.void
    const address = this.address(key)
    return Effect.map(way(address.key, tagNames.map((_, i) => this.tag(i))), () => {
      if (what === "entry") this.model.note({ _tag: "gone", key })
      if (what === "lease") this.model.note({ _tag: "voided", key })
      if (what === "journal") this.model.note({ _tag: "forgot" })
    })
  }
}
