/**
 * Django's low-level cache API, as it behaves, for the programs of the page that the strategies start from. It keeps
 * copies (Django pickles), with timeouts in seconds, under `Clock`. It promises what Django's promises, and no more.
 */
import { Clock, Effect } from "effect"

interface Stored {
  readonly value: unknown
  readonly expiresAt: number
}

/** `None`: the key lives for ever. Left out: 300 seconds. */
export type Timeout = number | null | undefined

export interface DjangoCacheOptions {
  /** `KEY_PREFIX` and `VERSION` of the settings. */
  readonly keyPrefix?: string
  readonly version?: number
  /** What is shared by several processes: give the same to each. */
  readonly memory?: Map<string, Stored>
}

const copy = <A>(value: A): A => structuredClone(value)

const glob = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`)

export class DjangoCache {
  readonly memory: Map<string, Stored>
  private readonly keyPrefix: string
  private readonly version: number

  constructor(options: DjangoCacheOptions = {}) {
    this.memory = options.memory ?? new Map()
    this.keyPrefix = options.keyPrefix ?? ""
    this.version = options.version ?? 1
  }

  /** `KEY_FUNCTION`: prefix, version and key with colons between them, as they are. */
  makeKey(key: string, version = this.version): string {
    return `${this.keyPrefix}:${version}:${key}`
  }

  get<A>(key: string, version?: number): Effect.Effect<A | undefined> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const stored = this.memory.get(this.makeKey(key, version))
      return stored === undefined || stored.expiresAt <= now ? undefined : copy(stored.value) as A
    })
  }

  set(key: string, value: unknown, timeout: Timeout = 300, version?: number): Effect.Effect<void> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const expiresAt = timeout === null ? Infinity : now + timeout * 1000
      this.memory.set(this.makeKey(key, version), { value: copy(value), expiresAt })
    })
  }

  /** Sets only what is not there; tells whether it did. */
  add(key: string, value: unknown, timeout: Timeout = 300, version?: number): Effect.Effect<boolean> {
    return Effect.flatMap(
      this.get(key, version),
      (there) => there === undefined ? Effect.as(this.set(key, value, timeout, version), true) : Effect.succeed(false)
    )
  }

  /** Gets, or else computes and adds. What another has added meanwhile wins. */
  getOrSet<A, E, R>(
    key: string,
    compute: Effect.Effect<A, E, R>,
    timeout: Timeout = 300,
    version?: number
  ): Effect.Effect<A, E, R> {
    return Effect.gen({ self: this }, function*() {
      const there = yield* this.get<A>(key, version)
      if (there !== undefined) return there
      const computed = yield* compute
      yield* this.add(key, computed, timeout, version)
      return (yield* this.get<A>(key, version)) ?? computed
    })
  }

  delete(key: string, version?: number): Effect.Effect<boolean> {
    return Effect.sync(() => this.memory.delete(this.makeKey(key, version)))
  }

  deleteMany(keys: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.sync(() => {
      for (const key of keys) this.memory.delete(this.makeKey(key))
    })
  }

  clear(): Effect.Effect<void> {
    return Effect.sync(() => this.memory.clear())
  }

  /** django-redis: the pattern is a glob, and what is in it of a user's text is part of it. */
  deletePattern(pattern: string): Effect.Effect<number> {
    return Effect.sync(() => {
      const matches = glob(this.makeKey(pattern))
      const found = [...this.memory.keys()].filter((key) => matches.test(key))
      for (const key of found) this.memory.delete(key)
      return found.length
    })
  }
}

/** `make_template_fragment_key`: the name and a hash of the values, which are joined with colons. */
export const makeTemplateFragmentKey = (name: string, varyOn: ReadonlyArray<unknown> = []): string =>
  `template.cache.${name}.${varyOn.map((value) => `${String(value)}:`).join("")}`
