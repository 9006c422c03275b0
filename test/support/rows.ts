import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { type Down, NotFound } from "./cached.ts"

export type Batch = ReadonlyArray<Result.Result<string, NotFound | Down>>

/** An origin of rows that can be asked for one or for several, and remembers what it was asked. */
export class Rows {
  readonly rows = new Map([1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => [id, `row ${id}`]))
  readonly single: Array<number> = []
  readonly batches: Array<ReadonlyArray<number>> = []
  interrupted = 0
  takes = 0
  ends: Effect.Effect<unknown, Down> = Effect.void
  spoil: (batch: Batch) => Batch = (batch) => batch

  private readonly wait = Effect.suspend(() =>
    Effect.andThen(this.takes === 0 ? Effect.void : Effect.sleep(this.takes), this.ends)
  ).pipe(Effect.onInterrupt(() =>
    Effect.sync(() => {
      this.interrupted++
    })
  ))

  private readonly row = (id: number): Result.Result<string, NotFound> => {
    const row = this.rows.get(id)
    return row === undefined ? Result.fail(new NotFound({ id })) : Result.succeed(row)
  }

  readonly one = (id: number): Effect.Effect<string, NotFound | Down> =>
    Effect.suspend(() => {
      this.single.push(id)
      const row = this.row(id)
      return Effect.andThen(this.wait, Effect.fromResult(row))
    })

  readonly many = (ids: ReadonlyArray<number>): Effect.Effect<Batch, Down> =>
    Effect.suspend(() => {
      this.batches.push(ids)
      const rows = ids.map(this.row)
      return Effect.as(this.wait, this.spoil(rows))
    })
}

export type RowsOptions = Partial<Pick<Cached.Options<number, string, never, never>, "refresh" | "softTimeout">>

export const rowsBy = (
  rows: Rows,
  policy: Policy.Policy<number, string> = Policy.ttl("1 minute"),
  options: RowsOptions = {}
) =>
  Cached.make(
    "row",
    { key: Key.int("id"), value: Schema.String, lookup: rows.one, lookupMany: rows.many, ...options },
    policy
  )

export const graced = Policy.ttl<number, string>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })
