/** A rolling deploy: two releases of one definition in two processes on one server. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CacheService from "../../src/CacheService.ts"
import { both, type Process, start, stepsApart } from "../support/redisCache.ts"
import { areApart, type Deploy, type Release, Shelf, voidsLoads } from "../support/releases.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const running = ({ service }: Process): Release["run"] => (effect) =>
  Effect.provideService(effect, CacheService.CacheService, service)

describe.each([...both, stepsApart])("two releases on $name", (way) => {
  const deployed = Effect.gen(function*() {
    const prefix = freshPrefix()
    const [one, other] = [yield* start(way.layer({ prefix })), yield* start(way.layer({ prefix }))]
    const shelf = new Shelf()
    const deploy: Deploy = {
      shelf,
      before: { film: shelf.before(undefined), run: running(one) },
      after: { film: shelf.after(2), run: running(other) }
    }
    return deploy
  })

  it.live("are each served their own entry, which either of them ends", () =>
    Effect.flatMap(deployed, (deploy) => areApart(deploy, false)))

  it.live("keep no load that the other has voided", () => Effect.flatMap(deployed, voidsLoads))
})
