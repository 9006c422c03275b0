/** A version of everything, and two deploys side by side: `docs/strategies/global-version.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Version from "../../examples/articles/strategies/global-version.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import { oneNode, start } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"
import * as Django from "./django/global-version.ts"
import { midway, onBoth, queriesOf, site } from "./support.ts"

const [oldHeading, newHeading] = [Version.heading(1), Version.heading(2)]
const [oldStrict, newStrict] = [Version.strictHeading(1), Version.strictHeading(2)]

/** A write that tells nobody. */
const silently = (id: number, title: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set title = ${title} where id = ${id}`)

layer(site, { timeout: "60 seconds" })("global version", (it) => {
  describe("the Django way", () => {
    it.effect("an update of the old deploy does not reach the new one", () =>
      Effect.gen(function*() {
        const memory = new Map()
        const [older, newer] = [Django.deploy(1, memory), Django.deploy(2, memory)]
        const title = yield* Django.getTitle(newer, 1)
        yield* Django.updateTitle(older, 1, "Corrected")
        assert.strictEqual(yield* Django.getTitle(older, 1), "Corrected")
        assert.strictEqual(yield* Django.getTitle(newer, 1), title)
        assert.strictEqual(yield* Queries.title(1), "Corrected")
      }))
  })

  describe("the way here", () => {
    onBoth(
      it,
      "with a version of the definition two deploys live side by side, and hear of each other's writes",
      (one, other) =>
        Effect.gen(function*() {
          const read = Effect.all([one.run(Cached.get(oldHeading, 2)), other.run(Cached.get(newHeading, 2))])
          assert.strictEqual(yield* queriesOf(read), 2)
          for (let again = 0; again < 3; again++) assert.strictEqual(yield* queriesOf(read), 0)
          const { after } = yield* one.run(
            Writes.updateArticle(2, { title: `By the old deploy ${yield* Queries.title(2)}` })
          )
          assert.deepStrictEqual(yield* read, [after.title, after.title])
          const { after: last } = yield* other.run(Writes.updateArticle(2, { title: "By the new deploy" }))
          assert.deepStrictEqual(yield* read, [last.title, last.title])
          yield* silently(2, `${last.title}, and nobody was told`)
          yield* one.run(Cached.invalidate(oldHeading, 2))
          assert.strictEqual((yield* read)[1], `${last.title}, and nobody was told`)
        })
    )

    onBoth(
      it,
      "with a constant in the policy they are right, and throw out what the other has loaded",
      (one, other) =>
        Effect.gen(function*() {
          const read = Effect.all([one.run(Cached.get(oldStrict, 3)), other.run(Cached.get(newStrict, 3))])
          for (let again = 0; again < 3; again++) assert.strictEqual(yield* queriesOf(read), 2)
          const { after } = yield* one.run(Writes.updateArticle(3, { title: `Corrected ${yield* Queries.title(3)}` }))
          assert.deepStrictEqual(yield* read, [after.title, after.title])
        })
    )

    it.effect("with a prefix for each deploy they do not hear of each other's writes [redis]", () =>
      Effect.gen(function*() {
        const one = yield* start(oneNode.layer({ prefix: freshPrefix() }))
        const other = yield* start(oneNode.layer({ prefix: freshPrefix() }))
        const title = yield* other.run(Cached.get(newHeading, 4))
        const { after } = yield* one.run(Writes.updateArticle(4, { title: "Corrected" }))
        assert.strictEqual(yield* other.run(Cached.get(newHeading, 4)), title)
        assert.notStrictEqual(after.title, title)
      }))

    onBoth(it, "everything is dropped at once, with what is on its way", (one, other) =>
      Effect.gen(function*() {
        const title = yield* one.run(Cached.get(oldHeading, 5))
        const finish = yield* midway(one.run(Cached.get(oldHeading, 6)))
        yield* silently(5, `${title}!`)
        yield* silently(6, `${title}!!`)
        yield* other.run(Version.dropEverything)
        yield* finish
        assert.strictEqual(yield* one.run(Cached.get(oldHeading, 5)), `${title}!`)
        assert.strictEqual(yield* other.run(Cached.get(oldHeading, 6)), `${title}!!`)
      }))

    onBoth(it, "an operator raises the version of all deploys", (one, other) =>
      Effect.gen(function*() {
        const read = Effect.all([one, other].map(({ run }) => run(Cached.get(Version.operatedHeading, 7))))
        const [title] = yield* read
        yield* silently(7, `${title}?`)
        assert.deepStrictEqual(yield* read, [title, title])
        yield* one.run(Writes.updateSettings("cacheVersion", `after ${title}`))
        assert.deepStrictEqual(yield* read, [`${title}?`, `${title}?`])
        assert.strictEqual(yield* queriesOf(read), 0)
      }))
  })
})
