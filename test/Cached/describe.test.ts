import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { alien, Film, Films, NotFound } from "../support/cached.ts"

describe("describe", () => {
  const described = (policy: Policy.Policy<{ id: number; genre: string }, Film>) =>
    Cached.describe(Cached.make("film", {
      key: Key.struct({ id: Key.int("id"), genre: Key.string("genre") }),
      value: Film,
      lookup: () => Effect.succeed(alien)
    }, policy)).invalidatedBy

  it("says what is cached by what, under which policy, and what ends it", () => {
    const cached = Cached.make("film", {
      key: Key.int("id"),
      value: Film,
      lookup: (): Effect.Effect<Film, NotFound> => Effect.succeed(alien),
      failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
    }, Policy.all(Policy.ttl("5 minutes"), Policy.tagged("films"), Policy.conditional(Films, { fields: ["title"] })))
    assert.strictEqual(
      String(Cached.describe(cached)),
      [
        "film(id)",
        "  policy: ttl(5m) and tagged(films) and conditional(film, [title])",
        "  failures: ttl(10s)",
        "  invalidated by:",
        "    - its key",
        "    - age 5m",
        "    - tag films",
        "    - the film of the key: title, coming or going",
        "    - failures: age 10s"
      ].join("\n")
    )
    assert.strictEqual(String(cached), "film(id): ttl(5m) and tagged(films) and conditional(film, [title])")
    assert.deepStrictEqual(JSON.parse(JSON.stringify(cached)), {
      _id: "Cached",
      name: "film",
      key: ["id"],
      policy: "ttl(5m) and tagged(films) and conditional(film, [title])"
    })
  })

  type K = { id: number; genre: string }
  const kinds: ReadonlyArray<readonly [Policy.Policy<K, Film>, ReadonlyArray<string>]> = [
    [Policy.forever, []],
    [Policy.never, ["at once"]],
    [Policy.ttl("1 hour"), ["age 1h"]],
    [Policy.ttl(Infinity), []],
    [Policy.until("0 0 * * *"), ["the clock: 0 0 * * *"]],
    [Policy.versioned(1), ["another version"]],
    [Policy.versioned((key: K) => key.id, { name: "row", atLeast: true }), ["another row"]],
    [Policy.tagged(["a", "b"]), ["tag a", "tag b"]],
    [Policy.tagged((key: K) => [key.genre]), ["tags of the key"]],
    [Policy.tagged({ fromValue: (film: Film) => [film.genre] }), ["tags of the value"]],
    [Policy.conditional(Films, { id: (key: K) => key.id, fields: ["title"] }), [
      "the film of the key: title, coming or going"
    ]],
    [Policy.conditional(Films, { id: { fromValue: (film: Film) => film.id } }), [
      "the film of the value: anything, coming or going"
    ]],
    [Policy.conditionalIn(Films, "genre", { equals: (key: K) => key.genre, fields: ["title"] }), [
      "the films of a genre of the key: title, membership"
    ]],
    [Policy.conditionalIn(Films, "genre", { equals: (key: K) => key.genre, fields: [] }), [
      "the films of a genre of the key: membership"
    ]],
    [Policy.conditionalAll(Films, { fields: ["rating"] }), ["any film: rating, membership"]],
    [Policy.xfetch(), []],
    [Policy.or(Policy.tagged("a"), Policy.tagged("a")), ["tag a"]]
  ]
  for (const [policy, causes] of kinds) {
    it(`says what ends ${policy}`, () => assert.deepStrictEqual(described(policy), ["its key", ...causes]))
  }
})
