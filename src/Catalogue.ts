/**
 * Which cached values of a program depend on what: as data, as tables, and as a
 * graph. For documentation, and for review of what a change will invalidate.
 *
 * **Example** (What does a new title invalidate?)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Entity, Key, Policy } from "effect-cache-algebra"
 * import * as Catalogue from "effect-cache-algebra/Catalogue"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, genre: Schema.String, rating: Schema.Finite })
 * const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
 * const lookup = () => Effect.succeed("")
 *
 * const card = Cached.make(
 *   "card",
 *   { key: Key.int("id"), value: Schema.String, lookup },
 *   Policy.all(Policy.ttl("1 day"), Policy.conditional(Films, { fields: ["title"] }))
 * )
 * const best = Cached.make(
 *   "best",
 *   { key: Key.string("genre"), value: Schema.String, lookup },
 *   Policy.all(Policy.ttl("5 minutes"), Policy.conditionalIn(Films, "genre", { fields: ["title", "rating"] }))
 * )
 *
 * const catalogue = Catalogue.make([card, best])
 * const title = catalogue.changes.find(({ label }) => label === "film.title")
 * title?.invalidates.map(({ name }) => name) // => ["card", "best"]
 *
 * catalogue.toString().split("\n").slice(0, 4)
 * // => [
 * //   "cached value  kept  invalidated by",
 * //   "------------  ----  ----------------------------------------------------------",
 * //   "card(id)      1d    the film of the key: title, coming or going",
 * //   "best(genre)   5m    the films of a genre of the key: title, rating, membership"
 * // ]
 * ```
 *
 * @since 0.1.0
 */
import type * as Cached from "./Cached.ts"
import * as Internal from "./internal/catalogue.ts"
import type { Definition } from "./internal/definition.ts"
import { refused } from "./internal/refused.ts"

/**
 * Which cached values depend on what, and the other way round.
 *
 * - `rows`: each cached value, how long it is kept at most (milliseconds), and
 *   its causes: what ends it. A cause says how bad the value is then
 *   (`severity`), and whether it is so whatever else holds (`always`) or only
 *   while no other alternative of the policy holds. Causes with `failure` end
 *   cached failures.
 * - `changes`: each field of an entity, tag and version that can change, and
 *   what that invalidates; in the tables with "perhaps" where it is not always.
 * - `toString`: both as tables of text. `markdown`: the same in Markdown.
 * - `mermaid`: a graph, for pages that draw Mermaid.
 *
 * @category models
 * @since 0.1.0
 */
export interface Catalogue {
  readonly rows: ReadonlyArray<Internal.Row>
  readonly changes: ReadonlyArray<Internal.Change>
  readonly markdown: string
  readonly mermaid: string
  toString(): string
}

class Made implements Catalogue {
  readonly rows: ReadonlyArray<Internal.Row>
  readonly changes: ReadonlyArray<Internal.Change>

  constructor(rows: ReadonlyArray<Internal.Row>, changes: ReadonlyArray<Internal.Change>) {
    this.rows = rows
    this.changes = changes
  }

  private tables(lines: (words: ReadonlyArray<string>) => ReadonlyArray<string>): ReadonlyArray<Internal.Table> {
    return [Internal.valuesTable(this.rows), Internal.changesTable(this.changes, lines)]
  }

  get markdown(): string {
    return this.tables((words) => [words.join(", ")]).map(Internal.asMarkdown).join("\n\n")
  }

  get mermaid(): string {
    return Internal.asMermaid(this.rows, this.changes)
  }

  toString(): string {
    return this.tables(Internal.filled).map(Internal.asText).join("\n\n")
  }
}

const refuseRepeated = (what: string, all: ReadonlyArray<{ readonly name: string }>): void => {
  const seen = new Set<string>()
  for (const { name } of all) {
    if (seen.has(name)) {
      throw refused("Catalogue.make", "InvalidOption", `two ${what} are called ${JSON.stringify(name)}`)
    }
    seen.add(name)
  }
}

const refuseUnknown = (rows: ReadonlyArray<Internal.Row>, declared: ReadonlyArray<Internal.Declared>): void => {
  for (const { causes, name } of rows) {
    for (const cause of causes) {
      const entity = cause._tag === "Entity" && declared.find((one) => one.name === cause.entity)
      if (!entity) continue
      const field = [...cause.fields ?? [], ...cause.partition === undefined ? [] : [cause.partition]]
        .find((field) => !entity.fields.includes(field) && !entity.relations.includes(field))
      if (field !== undefined) {
        throw refused(
          "Catalogue.make",
          "UnknownField",
          `"${name}" depends on "${field}", which "${entity.name}" does not have`
        )
      }
    }
  }
}

/**
 * Describes all cached values of a program: which depends on which fields of
 * which entities, on which tags, versions and ticks of a clock. Generated from
 * the policies, so it is true; the same definitions give the same text.
 *
 * With `entities`, the fields that nothing depends on are listed too. Without it,
 * only what the policies name is known.
 *
 * Throws `InvalidInput` when two definitions (or entities) share a name, and
 * when a policy names a field that the entity given does not have.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  definitions: ReadonlyArray<Cached.Any>,
  options: {
    readonly entities?: ReadonlyArray<{
      readonly name: string
      readonly fields: ReadonlyArray<string>
      readonly relations: ReadonlyArray<string>
    }>
  } = {}
): Catalogue => {
  const { entities = [] } = options
  refuseRepeated("definitions", definitions)
  refuseRepeated("entities", entities)
  const rows = definitions.map((definition) => Internal.rowOf(definition as unknown as Definition, entities))
  refuseUnknown(rows, entities)
  return new Made(rows, Internal.changesOf(rows, entities))
}
