import { type Config, type Effect, type Layer, Redacted, type Scope } from "effect"
import { Cluster, Redis } from "ioredis"
import type { Cluster as Cluster5, Redis as Redis5 } from "ioredis-5"
import { describe, expect, test } from "tstyche"
import type * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as RedisCache from "../../src/RedisCache.ts"

declare const redis: Redis
declare const cluster: Cluster
declare const redis5: Redis5
declare const cluster5: Cluster5

describe("RedisCache.layer", () => {
  test("is a layer of the service that needs nothing and cannot fail", () => {
    expect(RedisCache.layer({ url: "redis://127.0.0.1" })).type.toBe<Layer.Layer<CacheService.CacheService>>()
    expect(RedisCache.makeStore({ url: "redis://127.0.0.1" })).type.toBe<
      Effect.Effect<CacheStore.CacheStore, never, Scope.Scope>
    >()
  })

  test("takes clients of ioredis 6 and 5.8 as they are", () => {
    expect(RedisCache.layer).type.toBeCallableWith({ client: redis })
    expect(RedisCache.layer).type.toBeCallableWith({ client: cluster })
    expect(RedisCache.layer).type.toBeCallableWith({ client: redis5 })
    expect(RedisCache.layer).type.toBeCallableWith({ client: cluster5 })
    expect(RedisCache.layer).type.toBeCallableWith({ client: new Redis(), prefix: "x" })
    expect(RedisCache.layer).type.toBeCallableWith({ client: new Cluster([]) })
    expect(RedisCache.layer).type.not.toBeCallableWith({ client: {} })
    expect(RedisCache.layer).type.not.toBeCallableWith({ client: "redis://127.0.0.1" })
  })

  test("takes nodes as texts and as places, and secrets that are redacted", () => {
    expect(RedisCache.layer).type.toBeCallableWith({ url: Redacted.make("redis://127.0.0.1") })
    expect(RedisCache.layer).type.toBeCallableWith({ options: { host: "h", password: Redacted.make("p") } })
    expect(RedisCache.layer).type.toBeCallableWith({ options: { sentinels: [{ host: "h", port: 1 }], name: "main" } })
    expect(RedisCache.layer).type.toBeCallableWith({ cluster: { nodes: ["redis://h:1", { host: "h", port: 1 }] } })
    expect(RedisCache.layer).type.not.toBeCallableWith({ url: 6379 })
    expect(RedisCache.layer).type.not.toBeCallableWith({ url: "redis://127.0.0.1", acknowledge: "quorum" })
    expect(RedisCache.layer).type.not.toBeCallableWith({ url: "redis://127.0.0.1", timeLimit: "1 parsec" })
    expect(RedisCache.layer).type.not.toBeCallableWith({ url: "redis://127.0.0.1", prefixes: "x" })
  })
})

describe("RedisCache.layerConfig", () => {
  test("fails with ConfigError alone", () => {
    const layer = (config: Config.Wrap<RedisCache.Options>) => RedisCache.layerConfig(config)
    expect(layer).type.toBe<
      (config: Config.Wrap<RedisCache.Options>) => Layer.Layer<CacheService.CacheService, Config.ConfigError>
    >()
  })
})
