/** Changes as JSON, which a text of one or of many is made of. */
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

// JSON cannot write bigints, and one that is written as a string would be another id.
const BigIntFromJson = Schema.Struct({ bigint: Schema.String.check(Schema.isPattern(/^-?\d+$/)) }).pipe(
  Schema.decodeTo(Schema.BigInt, {
    decode: SchemaGetter.transform(({ bigint }) => BigInt(bigint)),
    encode: SchemaGetter.transform((bigint) => ({ bigint: String(bigint) }))
  })
)

const Id = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean, Schema.Null, BigIntFromJson])

const Row = Schema.Struct({
  entity: Schema.String,
  id: Id,
  partitions: Schema.Array(Schema.Tuple([Schema.String, Id]))
})

const End = Schema.Struct({ entity: Schema.String, id: Id, relation: Schema.String })

export const ChangeFromJson = Schema.Union([
  Schema.TaggedStruct("Created", { row: Row }),
  Schema.TaggedStruct("Updated", { before: Row, after: Row, fields: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("Deleted", { row: Row }),
  Schema.TaggedStruct("Related", {
    kind: Schema.Literals(["added", "removed"]),
    ends: Schema.Tuple([End, End])
  })
])
