/** What the loads of a world read: rows that change, and what a change of them ends. */
import * as Schema from "effect/Schema"
import * as Entity from "../../src/Entity.ts"
import type { Target } from "./judge.ts"
import type { Field } from "./plan.ts"

export const groups = 3

export const RowSchema = Schema.Struct({ id: Schema.Int, a: Schema.Int, b: Schema.Int, group: Schema.Int })

export interface Row {
  readonly id: number
  readonly a: number
  readonly b: number
  readonly group: number
}

export const Rows = Entity.make("row", { schema: RowSchema, id: "id", partitions: ["group"] })

export class Origin {
  readonly rows: Array<Row>
  readonly present: Array<boolean>
  /** How often each was written to. */
  readonly versions: Array<number>

  constructor(count: number) {
    this.rows = Array.from({ length: count }, (_, id) => ({ id, a: 0, b: 0, group: id % groups }))
    this.present = this.rows.map(() => true)
    this.versions = this.rows.map(() => 0)
  }

  /** What a write would make of a row. */
  ahead(id: number, field: Field): Row {
    const before = this.rows[id]!
    switch (field) {
      case "presence":
        return before
      case "group":
        return { ...before, group: (before.group + 1) % groups }
      default:
        return { ...before, [field]: before[field] + 1 }
    }
  }

  /** Writes, and gives the row as it was and as it is. */
  write(id: number, field: Field): { readonly before: Row; readonly after: Row } {
    const before = this.rows[id]!
    const after = this.ahead(id, field)
    this.versions[id]!++
    if (field === "presence") this.present[id] = !this.present[id]!
    this.rows[id] = after
    return { before, after }
  }
}

/** What ends when a row is written: by the meaning of a change, and not by the library's names. */
export const targetsOf = (before: Row, after: Row, field: Field): ReadonlyArray<Target> => {
  const { group, id } = before
  if (field === "presence") return [`row:${id}`, `row:${id}.a`, `row:${id}.b`, `in:${group}`, "all"]
  if (field === "group") return [`row:${id}`, `row:${id}.group`, `in:${group}`, `in:${after.group}`]
  return [`row:${id}`, `row:${id}.${field}`, `in:${group}.${field}`, `all.${field}`]
}
