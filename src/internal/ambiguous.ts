/**
 * Where a schema may write two different values as the same JSON: a union, of
 * which one member is written as what another could be. `undefined` under
 * `NullishOr` is written as `null`; a bigint beside a text as a text.
 */
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

type Path = ReadonlyArray<PropertyKey>

/** What of a schema cannot be told apart once it is written. */
export interface Ambiguity {
  /** Where, and what: `undefined and null at ["a"]`. Only of what is surely written alike, for people. */
  readonly pairs: ReadonlyArray<string>
  /** Whether what is read may differ from what was written; true also where it is only not known. */
  readonly possible: boolean
}

export const at = (path: Path): string =>
  path.length === 0
    ? ""
    : ` at ${path.map((step) => `[${typeof step === "string" ? JSON.stringify(step) : String(step)}]`).join("")}`

/** Whether what is written is the value as it is. */
export const isPlain = (ast: SchemaAST.AST): boolean => SchemaAST.toType(ast) === ast

const members = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  ast._tag === "Union" && ast.encoding === undefined ? ast.types.flatMap(members) : [ast]

/** What the JSON of a schema is; undefined where that is not known. */
const jsonOf = (ast: SchemaAST.AST): string | undefined => {
  switch (ast._tag) {
    case "Literal":
      return typeof ast.literal
    case "String":
    case "TemplateLiteral":
      return "string"
    case "Number":
    case "Boolean":
    case "Null":
    case "Objects":
    case "Arrays":
      return ast._tag.toLowerCase()
    default:
      return undefined
  }
}

const propertyOf = (ast: SchemaAST.AST, name: PropertyKey): SchemaAST.AST | undefined =>
  ast._tag === "Objects"
    ? ast.propertySignatures.find((one) => one.name === name && !SchemaAST.isOptional(one.type))?.type
    : undefined

/** Whether no JSON is both; false also where that is not known. */
const areDisjoint = (a: SchemaAST.AST, b: SchemaAST.AST): boolean =>
  members(a).every((a) =>
    members(b).every((b) => {
      const [one, other] = [jsonOf(a), jsonOf(b)]
      if (one === undefined || other === undefined) return false
      if (one !== other) return true
      if (a._tag === "Literal" && b._tag === "Literal") return a.literal !== b.literal
      return a._tag === "Objects" && a.propertySignatures.some(({ name }) => {
        const [mine, its] = [propertyOf(a, name), propertyOf(b, name)]
        return mine !== undefined && its !== undefined && areDisjoint(mine, its)
      })
    })
  )

const nameOf = (ast: SchemaAST.AST): string => {
  const { expected, identifier } = ast.annotations ?? {}
  return typeof identifier === "string"
    ? identifier
    : typeof expected === "string"
    ? expected
    : ast._tag === "Literal"
    ? JSON.stringify(ast.literal)
    : ast._tag.toLowerCase()
}

/** Throws for a schema that cannot be written as JSON. */
export const ambiguityOf = (schema: Schema.Top): Ambiguity => {
  const pairs: Array<string> = []
  let possible = false
  const seen = new Set<SchemaAST.AST>()

  const compare = (all: ReadonlyArray<SchemaAST.AST>, path: Path, optional: boolean): void => {
    for (const [i, a] of all.entries()) {
      for (const b of all.slice(i + 1)) {
        if (isPlain(a) && isPlain(b)) continue
        const [one, other] = [SchemaAST.toEncoded(a), SchemaAST.toEncoded(b)]
        if (areDisjoint(one, other)) continue
        possible = true
        // Objects may well differ in what they hold, and who leaves an optional property undefined usually leaves it out.
        const json = new Set([...members(one), ...members(other)].map(jsonOf))
        const isSure = !json.has("objects") && !json.has("arrays") && !json.has(undefined)
        if (isSure && !(optional && json.has("null"))) pairs.push(`${nameOf(a)} and ${nameOf(b)}${at(path)}`)
      }
    }
  }

  const visit = (ast: SchemaAST.AST, path: Path): void => {
    if (seen.has(ast)) return
    seen.add(ast)
    if (ast.encoding !== undefined) {
      for (const { to } of ast.encoding) visit(to, path)
      return
    }
    switch (ast._tag) {
      case "Any":
        possible = true
        return
      case "Union":
        compare(members(ast), path, SchemaAST.isOptional(ast))
        for (const one of members(ast)) visit(one, path)
        return
      case "Objects":
        for (const { name, type } of ast.propertySignatures) visit(type, [...path, name])
        for (const { type } of ast.indexSignatures) visit(type, [...path, "*"])
        return
      case "Arrays":
        for (const [i, one] of ast.elements.entries()) visit(one, [...path, i])
        for (const one of ast.rest) visit(one, [...path, "*"])
        return
      case "Suspend":
        visit(ast.thunk(), path)
        return
    }
  }
  visit(Schema.toCodecJson(schema).ast, [])
  return { pairs, possible }
}
