/** Two releases of one program, of which the second shows more. */
import { Effect, Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import * as Queries from "../Queries.ts"

const ofHour = <V>() => Policy.ttl<number, V>("1 hour")

// #region releases
const OldCard = Schema.Struct({ title: Schema.String })

export const releaseOne = Cached.make(
  "card",
  { key: Key.int("id"), value: OldCard, lookup: (id) => Effect.map(Queries.article(id), ({ title }) => ({ title })) },
  ofHour()
)

/** The same name, and another schema: nothing to think of. */
const Card = Schema.Struct({ title: Schema.String, tags: Schema.Array(Schema.String) })

const card = (id: number) =>
  Effect.map(Queries.article(id), ({ tags, title }) => ({ title, tags: tags.map(({ name }) => name) }))

export const releaseTwo = Cached.make("card", { key: Key.int("id"), value: Card, lookup: card }, ofHour())
// #endregion

// #region rendered
/** HTML is a string before and after. What it was made of is the schema, and how is the constant. */
export const rendered = (TEMPLATE: number) =>
  Cached.make(
    "card/html",
    {
      key: Key.int("id"),
      value: Schema.String,
      lookup: (id) =>
        Effect.map(card(id), ({ tags, title }) =>
          TEMPLATE === 1 ? `<b>${title}</b>` : `<h2>${title}</h2><p>${tags.join(", ")}</p>`)
    },
    Policy.all(ofHour(), Policy.versioned(Policy.versionOf(Card, TEMPLATE), { name: "template" }))
  )
// #endregion

// #region side-by-side
/** The shape as the version: the releases may run side by side, each with its own entries. */
export const sideBySide = {
  one: Cached.make("card", {
    key: Key.int("id"),
    value: OldCard,
    version: Policy.versionOf(OldCard),
    lookup: (id) => Effect.map(card(id), ({ title }) => ({ title }))
  }, ofHour()),
  two: Cached.make("card", {
    key: Key.int("id"),
    value: Card,
    version: Policy.versionOf(Card),
    lookup: card
  }, ofHour())
}
// #endregion
