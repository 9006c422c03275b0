/**
 * The smallest program that caches: one cached read in memory, with a policy.
 * What a bundler makes of it is what the library costs in a browser.
 */
import { Effect, Schema } from "effect"
import { Cached, Key, MemoryCache, Policy } from "../../src/index.ts"

const greeting = Cached.make(
  "greeting",
  { key: Key.string("name"), value: Schema.String, lookup: (name) => Effect.succeed(`Hello, ${name}`) },
  Policy.all(Policy.ttl("1 hour"), Policy.tagged("greetings"))
)

const program = Effect.provide(Cached.get(greeting, "Ada"), MemoryCache.layer({ capacity: 1000 }))

console.log(await Effect.runPromise(program))
