/**
 * Writes of one entity that publish what they change.
 *
 * You give the functions that write, and they return what was there and what is
 * there now; you get the same functions back, which publish. A program that
 * writes through a repository cannot forget to publish.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as CacheService from "./CacheService.ts"
import type * as Change from "./Change.ts"
import * as Changes from "./Changes.ts"
import type * as Entity from "./Entity.ts"
import { refused } from "./internal/refused.ts"

interface Updated<Row> {
  readonly before: Row
  readonly after: Row
}

interface Saved<Row> {
  readonly before: Row | undefined
  readonly after: Row
}

type Write<A> = (...args: Array<never>) => Effect.Effect<A, unknown, unknown>

/**
 * The functions that write rows: any of these.
 *
 * - `create`, `createMany`: give the rows that were made.
 * - `update`, `updateMany`: give each row `before` and `after`. Read both in the
 *   transaction, the first `for update`, or another writer comes in between.
 * - `delete`, `deleteMany`: give the rows that were there.
 * - `save`: makes or updates a row; without `before` it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writes<Row> {
  readonly create?: Write<Row>
  readonly createMany?: Write<ReadonlyArray<Row>>
  readonly update?: Write<Updated<Row>>
  readonly updateMany?: Write<ReadonlyArray<Updated<Row>>>
  readonly delete?: Write<Row>
  readonly deleteMany?: Write<ReadonlyArray<Row>>
  readonly save?: Write<Saved<Row>>
}

/**
 * The same functions, which publish.
 *
 * @category models
 * @since 0.1.0
 */
export type Repository<W, E2 = never, R2 = never> = {
  readonly [N in keyof W]: W[N] extends
    (...args: infer Args extends ReadonlyArray<unknown>) => Effect.Effect<infer A, infer E, infer R>
    ? (...args: Args) => Effect.Effect<A, E | E2 | CacheService.InvalidationError, R | R2 | CacheService.CacheService>
    : never
}

type AnyWrite = (...args: ReadonlyArray<unknown>) => Effect.Effect<never>

/**
 * Makes a repository of an entity's writes.
 *
 * - `within`: what each write and its publication run in: a transaction
 *   (`Changes.withTransaction(sql.withTransaction)`, `SqlOutbox.withTransaction`).
 *   Without it, a write publishes when it has ended, so it must have committed by
 *   then. Name the function right here: of one inside of another value the
 *   compiler cannot infer what it fails with.
 *
 * Throws `InvalidInput` for a function of another name, of which it is not known
 * what it changes.
 *
 * **Example** (A write publishes)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Entity, Key, MemoryCache, Policy, Repository } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String })
 * const Films = Entity.make("film", { schema: Film, id: "id" })
 *
 * const rows = new Map([[7, { id: 7, title: "Alien" }]])
 * const films = Repository.make(Films, {
 *   update: (id: number, title: string) =>
 *     Effect.sync(() => {
 *       const before = rows.get(id)!
 *       const after = { ...before, title }
 *       rows.set(id, after)
 *       return { before, after }
 *     })
 * })
 * const title = Cached.make("title", {
 *   key: Key.int("id"),
 *   value: Schema.String,
 *   lookup: (id) => Effect.sync(() => rows.get(id)!.title)
 * }, Policy.conditional(Films, { fields: ["title"] }))
 *
 * const program = Effect.gen(function*() {
 *   yield* Cached.get(title, 7)
 *   yield* films.update(7, "Aliens")
 *   return yield* Cached.get(title, 7)
 * }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
 *
 * await Effect.runPromise(program) // => "Aliens"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  Row,
  Id extends string | number | boolean | bigint | null,
  Field extends string,
  P extends string,
  L extends string,
  W extends Writes<Row>,
  E2 = never,
  R2 = never
>(
  entity: Entity.Entity<Row, Id, Field, P, L>,
  writes: W,
  options: { readonly within?: Changes.Transaction<E2, R2> } = {}
): Repository<W, E2, R2> => {
  const { within } = options
  const created = (row: Row): Change.Change => entity.created(row)
  const updated = ({ after, before }: Updated<Row>): Change.Change => entity.updated(before, after)
  const deleted = (row: Row): Change.Change => entity.deleted(row)
  const saved = ({ after, before }: Saved<Row>): Change.Change =>
    before === undefined ? created(after) : updated({ before, after })
  const many = <A>(one: (a: A) => Change.Change) => (all: ReadonlyArray<A>) => all.map(one)
  const changed: {
    readonly [N in keyof Writes<Row>]-?: (result: never) => Change.Change | ReadonlyArray<Change.Change>
  } = {
    create: created,
    createMany: many(created),
    update: updated,
    updateMany: many(updated),
    delete: deleted,
    deleteMany: many(deleted),
    save: saved
  }
  const publishing = (name: keyof Writes<Row>, write: AnyWrite): AnyWrite => (...args) => {
    const published = Changes.publishing(Effect.suspend(() => write(...args)), changed[name]) as Effect.Effect<never>
    return (within === undefined ? published : within(published)) as Effect.Effect<never>
  }
  for (const name of Object.keys(writes)) {
    if (Object.hasOwn(changed, name)) continue
    throw refused("Repository.make", "InvalidOption", `it is not known what a write called "${name}" changes`)
  }
  return Object.fromEntries(
    Object.entries(writes).map(([name, write]) => [name, publishing(name as keyof Writes<Row>, write as AnyWrite)])
  ) as never
}
