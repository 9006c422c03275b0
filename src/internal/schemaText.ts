/**
 * What a schema is of, as text: for telling whether two of them are alike. Schemas
 * that are built twice by the same code have one text. What a user's functions do
 * is not in it.
 */
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

const wordOf = ({ annotations }: { readonly annotations?: object | undefined }): string => {
  const { expected, identifier } = (annotations ?? {}) as Record<string, unknown>
  return [identifier, expected].filter((word) => typeof word === "string").join(" ")
}

const checksOf = ({ checks }: SchemaAST.AST): string => (checks ?? []).map((one) => `&${wordOf(one)}`).join("")

// A schema that is built anew each time that it refers to itself has no end.
const deepest = 8

class Printer {
  // What comes again is named by its number: schemas may be recursive.
  private readonly seen = new Map<SchemaAST.AST, number>()
  private depth = 0

  print(ast: SchemaAST.AST): string {
    const before = this.seen.get(ast)
    if (before !== undefined) return `#${before}`
    this.seen.set(ast, this.seen.size)
    const written = (ast.encoding ?? []).map(({ to }) => `<-${this.print(to)}`).join("")
    return `${SchemaAST.isOptional(ast) ? "?" : ""}${this.body(ast)}${checksOf(ast)}${written}`
  }

  private all(many: ReadonlyArray<SchemaAST.AST>): string {
    return many.map((one) => this.print(one)).join(",")
  }

  private body(ast: SchemaAST.AST): string {
    switch (ast._tag) {
      case "Literal":
        return `${typeof ast.literal} ${JSON.stringify(String(ast.literal))}`
      case "Enum":
        return JSON.stringify(ast.enums)
      case "TemplateLiteral":
        return `\`${this.all(ast.parts)}\``
      case "Union":
        return `(${this.all(ast.types)})`
      case "Arrays":
        return `[${this.all(ast.elements)};${this.all(ast.rest)}]`
      case "Objects": {
        const properties = ast.propertySignatures.map(({ name, type }) =>
          `${JSON.stringify(String(name))}:${this.print(type)}`
        )
        const others = ast.indexSignatures.map(({ parameter, type }) =>
          `[${this.print(parameter)}]:${this.print(type)}`
        )
        return `{${[...properties.toSorted(), ...others].join(",")}}`
      }
      case "Suspend": {
        if (this.depth === deepest) return "..."
        this.depth++
        const text = this.print(ast.thunk())
        this.depth--
        return text
      }
      case "Declaration":
        return `${wordOf(ast)}<${this.all(ast.typeParameters)}>`
      default:
        return ast._tag
    }
  }
}

const texts = new WeakMap<Schema.Top, string>()

export const textOf = (schema: Schema.Top): string => {
  let text = texts.get(schema)
  if (text === undefined) texts.set(schema, text = new Printer().print(schema.ast))
  return text
}
