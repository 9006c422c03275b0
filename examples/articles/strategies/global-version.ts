/** A version of all that is cached, for three different wishes. */
import { Effect, Schema } from "effect"
import { Cached, Invalidation, Key, Policy } from "../../../src/index.ts"
import { Articles, Settings } from "../Model.ts"
import * as Queries from "../Queries.ts"

const whatIsShown = <V>() =>
  Policy.all(Policy.ttl<number, V>("1 day"), Policy.conditional(Articles, { fields: ["title"] }))

// #region version
/** Another deploy shows another thing. `VERSION` is a constant of the program. */
export const heading = (VERSION: number) =>
  Cached.make(
    "heading",
    { key: Key.int("id"), value: Schema.String, version: VERSION, lookup: (id) => Queries.title(id) },
    whatIsShown()
  )
// #endregion

// #region constant
/** The version in the policy. */
export const strictHeading = (VERSION: number) =>
  Cached.make(
    "strictHeading",
    { key: Key.int("id"), value: Schema.String, lookup: (id) => Queries.title(id) },
    Policy.all(whatIsShown(), Policy.versioned(VERSION))
  )
// #endregion

// #region everything
export const dropEverything = Cached.apply(Invalidation.everything)
// #endregion

// #region setting
/** The version stands in the database, so an operator can raise it, and all deploys see it. */
const currentVersion = Cached.make(
  "cacheVersion",
  {
    key: Key.unit,
    value: Schema.String,
    lookup: () => Effect.map(Queries.siteSettings, ({ cacheVersion }) => cacheVersion ?? "1")
  },
  Policy.conditional(Settings, { id: (_key) => "cacheVersion", fields: ["value"] })
)

export const operatedHeading = Cached.make(
  "operatedHeading",
  { key: Key.int("id"), value: Schema.String, lookup: (id) => Queries.title(id) },
  Policy.all(whatIsShown(), Policy.versioned((_id) => Cached.get(currentVersion, undefined)))
)
// #endregion
