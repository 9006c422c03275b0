/** The library as a layer has it, on the plain client or on `ioredis`. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CacheService from "../../../src/CacheService.ts"
import * as CacheStore from "../../../src/CacheStore.ts"
import type { Client } from "../../../src/internal/redis/client.ts"
import * as Stack from "../../../src/internal/redis/stack.ts"
import { Names } from "../../../src/internal/redis/wire.ts"
import type { Plan } from "../plan.ts"
import { type Deployment, openClient } from "./client.ts"
import { openIoredis } from "./ioredis.ts"
import type { Network } from "./network.ts"
import type { Process } from "./process.ts"

// What a layer has unless it is told otherwise.
const patience = 1000
const readLimit = 250

/** Stands between the parts of the store that a process has, for what is put in on purpose. */
export interface Between {
  readonly client?: (client: Client, process: Process) => Client
  readonly store?: (store: CacheStore.CacheStore, process: Process) => CacheStore.CacheStore
  /** What watches the store; a guard, unless given. */
  readonly guard?: typeof CacheStore.guard
}

export const layerOf = (
  network: Network,
  process: Process,
  deployment: Deployment,
  plan: Pick<Plan, "acknowledge" | "journal" | "mode" | "remember">,
  prefix: string,
  { client: below = (client) => client, store: between = (store) => store, guard = CacheStore.guard }: Between = {}
): Layer.Layer<CacheService.CacheService> => {
  const acknowledgement = plan.acknowledge === "replicas"
    ? { replicas: 1, within: patience * 0.8, keys: new Names(prefix).acknowledgements }
    : undefined
  const store = Stack.make(
    Effect.map(
      plan.mode.startsWith("ioredis")
        ? openIoredis(deployment, { protocol: network.random.pick([2, 3]), lent: network.random.chance(0.3) }, patience)
        : openClient(network, process, deployment),
      (client) => below(client, process)
    ),
    {
      settings: {
        prefix,
        journal: plan.journal,
        longest: 30 * 86_400_000,
        remember: plan.remember,
        ...(plan.mode === "split" ? { split: true } : {})
      },
      patience,
      acknowledgement,
      retry: Stack.defaultRetry,
      trusted: false
    },
    readLimit
  )
  return Layer.provide(
    CacheService.layer(),
    Layer.effect(
      CacheStore.CacheStore,
      Effect.map(store, (made) => guard(between(made, process), { readLimit, timeLimit: patience }))
    )
  )
}
