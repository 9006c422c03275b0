/**
 * What the modules of a source tree import, read from their text. The house
 * rules are checked with it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript-6"

export const root = path.resolve(import.meta.dirname, "../..")

/** One import (or re-export) of a module. */
export interface Import {
  readonly specifier: string
  /** Whether nothing of it is left at run time. */
  readonly typeOnly: boolean
  readonly line: number
  /** The local name of `* as X`. */
  readonly namespace: string | undefined
  readonly names: ReadonlyArray<{ readonly local: string; readonly imported: string }>
}

export interface Module {
  /** The path below `src/` without its ending: `Policy`, `internal/escape`. */
  readonly name: string
  readonly source: ts.SourceFile
  readonly imports: ReadonlyArray<Import>
}

export const parse = (file: string, text: string): ts.SourceFile =>
  ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS)

export const lineOf = (source: ts.SourceFile, node: ts.Node): number =>
  source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1

export const walk = (node: ts.Node, visit: (node: ts.Node) => void): void => {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}

const textOf = (node: ts.Node): string => (node as ts.StringLiteral).text

const ofImport = (node: ts.ImportDeclaration): Omit<Import, "line"> => {
  const clause = node.importClause
  const bindings = clause?.namedBindings
  const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : []
  const names = named.map((name) => ({ local: name.name.text, imported: (name.propertyName ?? name.name).text }))
  return {
    specifier: textOf(node.moduleSpecifier),
    typeOnly: clause?.isTypeOnly === true ||
      (named.length > 0 && clause?.name === undefined && named.every((name) => name.isTypeOnly)),
    namespace: bindings !== undefined && ts.isNamespaceImport(bindings) ? bindings.name.text : undefined,
    names: clause?.name === undefined ? names : [...names, { local: clause.name.text, imported: "default" }]
  }
}

const bare = (specifier: ts.Node, typeOnly: boolean): Omit<Import, "line"> => ({
  specifier: textOf(specifier),
  typeOnly,
  namespace: undefined,
  names: []
})

const ofNode = (node: ts.Node): Omit<Import, "line"> | undefined => {
  if (ts.isImportDeclaration(node)) return ofImport(node)
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
    return bare(node.moduleSpecifier, node.isTypeOnly)
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return bare(node.argument.literal, true)
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return bare(node.arguments[0]!, false)
  }
}

const importsOf = (source: ts.SourceFile): ReadonlyArray<Import> => {
  const found: Array<Import> = []
  walk(source, (node) => {
    const one = ofNode(node)
    if (one !== undefined) found.push({ ...one, line: lineOf(source, node) })
  })
  return found
}

/** A module from its text. */
export const readModule = (name: string, text: string): Module => {
  const source = parse(`${name}.ts`, text)
  return { name, source, imports: importsOf(source) }
}

/** Every module below a folder. */
export const readModules = (folder: string): ReadonlyArray<Module> =>
  fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .toSorted()
    .map((file) => readModule(file.slice(0, -".ts".length), fs.readFileSync(path.join(folder, file), "utf8")))

/** The module of the same tree that an import leads to, if it leads to one. */
export const target = (from: Module, { specifier }: Import): string | undefined =>
  specifier.startsWith(".")
    ? path.posix.join(path.posix.dirname(from.name), specifier).replace(/\.ts$/, "")
    : undefined

/** The package that an import leads to: `effect/Schema` is of `effect`. */
export const packageOf = ({ specifier }: Import): string | undefined => {
  if (specifier.startsWith(".")) return undefined
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")
}
