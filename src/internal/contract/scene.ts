/** Where one run of a law takes place: a store, names that no other run uses, and what must hold there. */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as CacheStore from "../../CacheStore.ts"
import * as Dependency from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Key from "../../Key.ts"
import type * as Verdict from "../../Verdict.ts"
import { encodeName } from "../keys.ts"
import type { Service } from "../service/model.ts"
import { broken, expect, type Step } from "./law.ts"

export const same = (a: unknown, b: unknown): boolean => Object.is(a, b) || Equal.equals(a, b)

export const abbreviate = (text: string): string =>
  text.length > 200 ? `${text.slice(0, 200)}... (${text.length})` : text

export const show = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return abbreviate(String(value))
  try {
    return abbreviate(JSON.stringify(value))
  } catch {
    return String(value)
  }
}

export const showMarks = (entry: CacheStore.Entry): string =>
  [...(entry.changed ?? [])].map(([name, mode]) => ` ${mode} ${Dependency.format(name)}`).join(",") +
  (entry.softened ? " softened" : "")

export const showEntry = (entry: CacheStore.Entry | undefined): string =>
  entry === undefined ? "nothing" : `${show(entry.payload)}${showMarks(entry)}`

export const isMarked = (entry: CacheStore.Entry): boolean => entry.softened || (entry.changed?.size ?? 0) > 0

export const isHard = (entry: CacheStore.Entry): boolean =>
  [...(entry.changed ?? [])].some(([, mode]) => mode === "hard")

export const isRefused = (outcome: CacheStore.Outcome): boolean => outcome === "invalidated" || outcome === "lost"

/** A load that has its lease. */
export interface Loading {
  readonly address: CacheStore.Address
  readonly lease: CacheStore.Lease
}

/** What a load ended with, where it is not the usual. */
export interface Loaded {
  readonly payload?: unknown
  readonly stamp?: Partial<CacheStore.Stamp>
  readonly found?: ReadonlyArray<Dependency.Dependency>
  readonly fatal?: ReadonlyArray<Dependency.Dependency>
  readonly expiresAt?: number
  /** The name of the entry, if it is not that of the lease. */
  readonly token?: CacheStore.Token
}

export type Asked = Partial<CacheStore.Begin>

// Long enough that no law sees its end by mistake, however slow the store.
export const long = 3_600_000

export const part = Key.string("part")

/** Where one run of a law takes place: the store, and names that no other run uses. */
export class Scene {
  readonly service: Service
  readonly store: CacheStore.CacheStore
  readonly space: string
  private loads = 0
  private readonly keys = new Set<string>()
  private readonly fences = new Set<CacheStore.Fence>()

  constructor(service: Service, space: string) {
    this.service = service
    this.store = service.store
    this.space = space
  }

  /** A stored key, as the interpreter makes it; `definition` leads to another one's. */
  key(parts: ReadonlyArray<string>, definition = ""): string {
    const key = [this.name(definition), ...parts.map((one) => Key.encode(part, one))].join(":")
    this.keys.add(key)
    return key
  }

  name(definition = ""): string {
    return encodeName(this.space + definition)
  }

  pattern(...parts: ReadonlyArray<string | undefined>): Key.Pattern {
    return { name: this.name(), parts: parts.map((one) => one === undefined ? undefined : Key.encode(part, one)) }
  }

  tag(name: string): Dependency.Dependency {
    return Dependency.tag(`${this.space} ${name}`)
  }

  at(key: string | ReadonlyArray<string>, ...known: ReadonlyArray<Dependency.Dependency>): CacheStore.Address {
    return { key: this.key(typeof key === "string" ? [key] : key), known }
  }

  readonly now: Effect.Effect<number> = Effect.clockWith((clock) => Effect.succeed(this.service.store.now(clock)))

  begin(address: CacheStore.Address, asked: Asked = {}): Step<CacheStore.Begun> {
    const usual = { seen: undefined, drop: false, force: false, leaseFor: long }
    return Effect.suspend(() => this.store.begin(address, { token: this.service.token(), ...usual, ...asked }))
  }

  /** Begins a load that must be granted. */
  load(address: CacheStore.Address, asked?: Asked): Step<Loading> {
    return Effect.flatMap(this.begin(address, asked), (begun) =>
      begun._tag === "Leased"
        ? Effect.succeed({ address, lease: begun.lease })
        : broken(`begin should have given the lease of ${address.key}, and answered ${begun._tag}`))
  }

  payload(content: unknown): unknown {
    return this.store.payload === "text" ? JSON.stringify(content) : content
  }

  draft({ address, lease }: Loading, now: number, loaded: Loaded): CacheStore.Draft {
    const found = (loaded.found ?? []).filter((name) => !address.known.includes(name))
    const payload = "payload" in loaded ? loaded.payload : this.payload({ load: ++this.loads })
    return {
      token: loaded.token ?? lease.token,
      payload,
      stamp: {
        storedAt: now,
        beganAt: now - 9,
        duration: 12,
        jitter: 0.25,
        versions: {},
        dependencies: [...address.known, ...found],
        shape: "shape",
        failure: false,
        ...loaded.stamp
      },
      found,
      fatal: new Set(loaded.fatal),
      expiresAt: loaded.expiresAt ?? Infinity,
      size: () => typeof payload === "string" ? Math.max(1, payload.length) : 100,
      memo: undefined
    }
  }

  commitDraft({ address, lease }: Loading, draft: CacheStore.Draft): Step<CacheStore.Outcome> {
    return Effect.suspend(() => this.store.commit(address, lease, draft))
  }

  commit(loading: Loading, loaded: Loaded = {}): Step<CacheStore.Outcome> {
    return Effect.flatMap(this.now, (now) => this.commitDraft(loading, this.draft(loading, now, loaded)))
  }

  discard(
    { address, lease }: Loading,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined
  ): Step<CacheStore.Outcome> {
    return Effect.suspend(() => this.store.discard(address, lease, dependencies))
  }

  /** A load that ends now, and must be stored. */
  finish(loading: Loading, loaded: Loaded = {}): Step<CacheStore.Draft> {
    return Effect.gen({ self: this }, function*() {
      const draft = this.draft(loading, yield* this.now, loaded)
      const outcome = yield* this.commitDraft(loading, draft)
      yield* this.outcome(outcome, "stored")
      return draft
    })
  }

  /** A whole load, whatever is stored. A tier has no copy of it yet. */
  fill(address: CacheStore.Address, loaded: Loaded = {}): Step<CacheStore.Draft> {
    return Effect.flatMap(this.load(address, { force: true }), (loading) => this.finish(loading, loaded))
  }

  /** A whole load, and a read: a tier has a copy from then on. */
  put(address: CacheStore.Address, loaded: Loaded = {}): Step<CacheStore.Draft> {
    return Effect.tap(this.fill(address, loaded), () => this.read(address))
  }

  read(address: CacheStore.Address): Step<CacheStore.Entry | undefined> {
    return Effect.suspend(() => this.store.read(address))
  }

  invalidate(...batch: ReadonlyArray<Invalidation.Invalidation>): Step<number | undefined> {
    return Effect.suspend(() => this.store.invalidate(Invalidation.combineAll(batch)))
  }

  sweep(keys: Key.Pattern | "everything", mode: Verdict.Mode = "hard"): Step<number | undefined> {
    return this.invalidate(
      Invalidation.withMode(keys === "everything" ? Invalidation.everything : Invalidation.pattern(keys), mode)
    )
  }

  fence(over: Invalidation.Invalidation, length = long): Step<CacheStore.Fence> {
    return Effect.suspend(() => {
      const fence = { id: this.service.token(), over, length }
      this.fences.add(fence)
      return Effect.as(this.store.fence(fence), fence)
    })
  }

  lift(fence: CacheStore.Fence): Step<boolean> {
    return Effect.suspend(() => this.store.lift(fence))
  }

  /** Leaves nothing behind, so that a law costs a store that it shares nothing. */
  readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    const lifted = Effect.forEach(this.fences, (fence) => Effect.ignore(this.store.lift(fence)), { discard: true })
    return Effect.andThen(lifted, Effect.ignore(this.invalidate(Invalidation.keys(this.keys))))
  })

  // ----- what must be so

  outcome(actual: CacheStore.Outcome, expected: CacheStore.Outcome): Step<void> {
    return expect(actual === expected, () => `commit should have answered "${expected}", and answered "${actual}"`)
  }

  refused(actual: CacheStore.Outcome): Step<void> {
    return expect(isRefused(actual), () => `commit should have refused, and answered "${actual}"`)
  }

  holds(address: CacheStore.Address, draft: CacheStore.Draft): Step<CacheStore.Entry> {
    return Effect.flatMap(this.read(address), (entry) => {
      if (entry === undefined) return broken(`${abbreviate(address.key)} should have an entry, and has none`)
      if (!same(entry.payload, draft.payload)) {
        return broken(
          `the payload of ${abbreviate(address.key)} should be ${show(draft.payload)}, and is ${show(entry.payload)}`
        )
      }
      if (!same(entry.stamp, draft.stamp)) {
        return broken(`the stamp should be ${show(draft.stamp)}, and is ${show(entry.stamp)}`)
      }
      return Effect.succeed(entry)
    })
  }

  /** The entry is there, and nothing has happened to it. */
  serves(address: CacheStore.Address, draft: CacheStore.Draft): Step<CacheStore.Entry> {
    return Effect.tap(
      this.holds(address, draft),
      (entry) => expect(!isMarked(entry), () => `${abbreviate(address.key)} should be good, and is ${showEntry(entry)}`)
    )
  }

  /** The entry is there, softly invalidated. */
  servesSoftly(address: CacheStore.Address, draft: CacheStore.Draft): Step<void> {
    return Effect.flatMap(
      this.holds(address, draft),
      (entry) =>
        expect(
          isMarked(entry) && !isHard(entry),
          () => `${address.key} should be marked softly, and is ${showEntry(entry)}`
        )
    )
  }

  isMissing(address: CacheStore.Address): Step<void> {
    return Effect.flatMap(
      this.read(address),
      (entry) => expect(entry === undefined, () => `${address.key} should have no entry, and has ${showEntry(entry)}`)
    )
  }

  /** Gone, or marked as invalidated by a hard one. */
  isDead(address: CacheStore.Address): Step<void> {
    return Effect.flatMap(this.read(address), (entry) =>
      expect(
        entry === undefined || isHard(entry),
        () => `${address.key} should be gone or marked, and is ${showEntry(entry)}`
      ))
  }

  isNotFresh(address: CacheStore.Address): Step<void> {
    return Effect.flatMap(this.read(address), (entry) =>
      expect(
        entry === undefined || isMarked(entry),
        () => `${address.key} should be gone or marked, and is ${showEntry(entry)}`
      ))
  }

  isBusy(address: CacheStore.Address, holder: Loading, asked?: Asked): Step<void> {
    return Effect.flatMap(this.begin(address, asked), (begun) =>
      expect(
        begun._tag === "Busy" && begun.token === holder.lease.token,
        () => `begin should have said that ${holder.lease.token} has the lease, and answered ${show(begun)}`
      ))
  }
}
