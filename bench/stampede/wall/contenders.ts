/**
 * Who is measured on the wall clock: the very strategies of virtual time, on a
 * real Redis, and other libraries.
 */
import { Context, Effect, Exit, Scope } from "effect"
import { Redis } from "ioredis"
import { CacheStore } from "../../../src/index.ts"
import * as RedisCache from "../../../src/RedisCache.ts"
import { DjangoCache, type Timeout } from "../../../test/strategies/django/DjangoCache.ts"
import type { Scenario } from "../scenario.ts"
import { Here, OriginDown, type Place, strategies, type Strategy } from "../strategies.ts"
import { libraries } from "./libraries.ts"

/** Where a contender is to keep its values, and how it asks the origin. */
export interface Connection {
  readonly url: string
  /** All that it keeps begins with this. */
  readonly prefix: string
  readonly timeLimit: number
  /** Gives the number of the load, which is the value; rejects if the load failed. */
  readonly load: (key: number) => Promise<number>
  /** What was loaded was not stored. */
  readonly refused: (name: number) => void
}

/** A cache as a process has it. */
export interface Client {
  readonly get: (key: number) => Promise<number>
  readonly invalidate: (key: number) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

export interface Contender {
  readonly id: string
  readonly title: string
  readonly about: string
  /** What the interpreter runs, as it prints. */
  readonly policy?: (scenario: Scenario) => string
  /** Runs scripts at the server, and asks it through `ioredis` alone. */
  readonly scripted?: boolean
  readonly make: (connection: Connection, scenario: Scenario) => Promise<Client>
}

// -----------------------------------------------------------------------------
// the strategies, on Redis
// -----------------------------------------------------------------------------

/** Django's cache with Redis behind it. What the strategies do not use is left as it is. */
class RedisDjango extends DjangoCache {
  private readonly redis: Redis
  private readonly prefix: string

  constructor(redis: Redis, prefix: string) {
    super()
    this.redis = redis
    this.prefix = prefix
  }

  private place(key: string, version?: number): string {
    return `${this.prefix}${this.makeKey(key, version)}`
  }

  override get<A>(key: string, version?: number): Effect.Effect<A | undefined> {
    return Effect.promise(async () => {
      const text = await this.redis.get(this.place(key, version))
      return text === null ? undefined : JSON.parse(text) as A
    })
  }

  override set(key: string, value: unknown, timeout: Timeout = 300, version?: number): Effect.Effect<void> {
    const [place, text] = [this.place(key, version), JSON.stringify(value)]
    return Effect.promise(async () => {
      if (timeout === null) await this.redis.set(place, text)
      else await this.redis.set(place, text, "PX", Math.max(1, Math.round(timeout * 1000)))
    })
  }

  override delete(key: string, version?: number): Effect.Effect<boolean> {
    return Effect.promise(async () => await this.redis.del(this.place(key, version)) > 0)
  }
}

/** Tells what was not stored, as the store knows it. */
const watched = (store: CacheStore.CacheStore, refused: Connection["refused"]): CacheStore.CacheStore => ({
  ...store,
  commit: (address, lease, draft) =>
    Effect.tap(store.commit(address, lease, draft), (outcome) =>
      Effect.sync(() => {
        if (outcome !== "stored") refused(Number(draft.payload))
      }))
})

const ofStrategy = ({ about, id, keeps, make, policy, title }: Strategy): Contender => ({
  id,
  title,
  about,
  ...policy === undefined ? {} : { policy: (scenario: Scenario) => policy(scenario, 1).toString() },
  scripted: true,
  make: async ({ load, prefix, refused, timeLimit, url }, scenario) => {
    const redis = new Redis(url, { lazyConnect: true })
    await redis.connect()
    const scope = Scope.makeUnsafe()
    const { reader, services } = make(scenario, 1)
    const context = await Effect.runPromise(Effect.provideService(
      Effect.gen(function*() {
        // As the layer makes it, which gives away no store.
        const store = CacheStore.guard(yield* RedisCache.makeStore({ url, prefix: `${prefix}ours` }), { timeLimit })
        const place: Place = {
          load: (key) =>
            Effect.tryPromise({
              try: async () => {
                const name = await load(key)
                if (!keeps) refused(name)
                return name
              },
              catch: () => new OriginDown()
            }),
          store: watched(store, refused),
          plain: new RedisDjango(redis, prefix)
        }
        return Context.add(yield* services(place), Here, place)
      }),
      Scope.Scope,
      scope
    ))
    const run = Effect.runPromiseWith(context)
    return {
      get: (key) => run(reader.get(key)),
      invalidate: (key) => run(reader.invalidate(key)),
      close: async () => {
        await Effect.runPromise(Scope.close(scope, Exit.void))
        redis.disconnect()
      }
    }
  }
})

export const contenders: ReadonlyArray<Contender> = [...strategies.map(ofStrategy), ...libraries]

export const contenderOf = (id: string): Contender => {
  const found = contenders.find((one) => one.id === id)
  if (found === undefined) {
    throw new Error(`there is no contender "${id}", but ${contenders.map(({ id }) => id).join(", ")}`)
  }
  return found
}
