/**
 * Which exports of `effect` a module uses, and what Effect says of their
 * stability. Both are read from source text: an export's JSDoc carries
 * `@stability stable`, `unstable` or `experimental`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript-6"
import { lineOf, type Module, parse, root, walk } from "./modules.ts"

const effect = path.join(root, "node_modules/effect/src")

/** An export has several declarations when a type and a value share its name, or when it is overloaded. */
interface Declaration {
  readonly meaning: "type" | "value" | "both"
  readonly stability: string | undefined
}

interface Exports {
  readonly declarations: ReadonlyMap<string, ReadonlyArray<Declaration>>
  /** `export * as Effect from "./Effect.ts"`, by name. */
  readonly namespaces: ReadonlyMap<string, string>
}

/** Something of Effect that a module uses: `effect/Schema`, `Struct.Fields`. */
export interface Use {
  readonly module: string
  /** Empty when the module is used as a whole, so that nobody can tell what of it. */
  readonly path: string
  readonly meaning: "type" | "value"
  readonly line: number
}

// -----------------------------------------------------------------------------
// what Effect exports
// -----------------------------------------------------------------------------

const stabilityOf = (source: ts.SourceFile, node: ts.Node): string | undefined => {
  const comments = ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []
  const last = comments.map(({ end, pos }) => source.text.slice(pos, end)).findLast((text) => text.startsWith("/**"))
  return last === undefined ? undefined : /@stability (\w+)/.exec(last)?.[1]
}

const isExported = (node: ts.Node): boolean =>
  ts.canHaveModifiers(node) &&
  (ts.getModifiers(node) ?? []).some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword)

const declared = (node: ts.Node): ReadonlyArray<readonly [name: string, meaning: Declaration["meaning"]]> => {
  if (ts.isVariableStatement(node)) {
    return node.declarationList.declarations.map((one) => [one.name.getText(), "value"] as const)
  }
  if (ts.isFunctionDeclaration(node)) return [[node.name!.text, "value"]]
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return [[node.name.text, "type"]]
  if (ts.isClassDeclaration(node)) return [[node.name!.text, "both"]]
  return []
}

type Add = (name: string, declaration: Declaration) => void

const addStatement = (
  source: ts.SourceFile,
  node: ts.Node,
  prefix: string,
  inherited: string | undefined,
  add: Add
) => {
  const stability = stabilityOf(source, node) ?? inherited
  for (const [name, meaning] of declared(node)) add(prefix + name, { meaning, stability })
  if (ts.isModuleDeclaration(node) && node.body !== undefined && ts.isModuleBlock(node.body)) {
    for (const inner of node.body.statements) {
      addStatement(source, inner, `${prefix}${node.name.text}.`, stability, add)
    }
  }
}

const known = new Map<string, Exports>()

const exportsOf = (file: string): Exports => {
  const before = known.get(file)
  if (before !== undefined) return before
  const source = parse(file, fs.readFileSync(path.join(effect, file), "utf8"))
  const declarations = new Map<string, Array<Declaration>>()
  const namespaces = new Map<string, string>()
  const add: Add = (name, declaration) => void declarations.set(name, [...(declarations.get(name) ?? []), declaration])
  const local = new Map<string, Array<Declaration>>()
  for (const node of source.statements) {
    for (const [name, meaning] of declared(node)) {
      local.set(name, [...(local.get(name) ?? []), { meaning, stability: stabilityOf(source, node) }])
    }
    if (isExported(node)) addStatement(source, node, "", undefined, add)
  }
  for (const node of source.statements) {
    if (!ts.isExportDeclaration(node)) continue
    const from = node.moduleSpecifier === undefined
      ? undefined
      : path.posix.join(path.posix.dirname(file), (node.moduleSpecifier as ts.StringLiteral).text)
    if (node.exportClause === undefined) {
      for (const [name, all] of exportsOf(from!).declarations) for (const one of all) add(name, one)
    } else if (ts.isNamespaceExport(node.exportClause)) {
      namespaces.set(node.exportClause.name.text, from!)
    } else {
      for (const specifier of node.exportClause.elements) {
        const name = (specifier.propertyName ?? specifier.name).text
        const stability = stabilityOf(source, specifier)
        const origin = from === undefined ? local.get(name) : exportsOf(from).declarations.get(name)
        for (const one of origin ?? [{ meaning: "both" as const, stability }]) {
          add(specifier.name.text, { ...one, stability: stability ?? one.stability })
        }
      }
    }
  }
  const result = { declarations, namespaces }
  known.set(file, result)
  return result
}

/** `effect` is `index.ts`; `effect/sql` is `sql/index.ts`; `effect/Effect` is `Effect.ts`. */
const fileOf = (specifier: string): string => {
  const below = specifier.split("/").slice(1).join("/") || "index"
  return fs.existsSync(path.join(effect, `${below}.ts`)) ? `${below}.ts` : `${below}/index.ts`
}

/** What is wrong with a use, if anything is. */
export const complaint = (use: Use): string | undefined => {
  const name = `${use.module}${use.path === "" ? "" : `.${use.path}`}`
  if (use.path === "") return `${name} is used as a whole, and nobody can tell what of it`
  const all = exportsOf(fileOf(use.module)).declarations.get(use.path)
  if (all === undefined) return `${name} is not an export`
  const matching = all.filter(({ meaning }) => meaning === "both" || meaning === use.meaning)
  const said = (matching.length === 0 ? all : matching).flatMap(({ stability }) => stability ?? [])
  if (said.length === 0) return `${name} says nothing about its stability`
  const other = said.find((stability) => stability !== "stable")
  return other === undefined ? undefined : `${name} is ${other}`
}

// -----------------------------------------------------------------------------
// what a module uses
// -----------------------------------------------------------------------------

const inInterface = (node: ts.Node): boolean =>
  ts.isExpressionWithTypeArguments(node.parent) && ts.isHeritageClause(node.parent.parent) &&
  (ts.isInterfaceDeclaration(node.parent.parent.parent) ||
    node.parent.parent.token === ts.SyntaxKind.ImplementsKeyword)

/** The names that follow a namespace: `Schema.Struct.Fields` gives `Struct.Fields`. */
const member = (identifier: ts.Identifier): Omit<Use, "module" | "line"> => {
  const parent = identifier.parent
  if (ts.isPropertyAccessExpression(parent)) {
    return { path: parent.name.text, meaning: inInterface(parent) ? "type" : "value" }
  }
  if (!ts.isQualifiedName(parent)) return { path: "", meaning: "value" }
  const path: Array<string> = []
  let node: ts.Node = parent
  while (ts.isQualifiedName(node)) {
    path.push(node.right.text)
    node = node.parent
  }
  // `typeof Schema.Struct` speaks of the value, and what follows it is no export.
  return ts.isTypeQueryNode(node) ? { path: path[0]!, meaning: "value" } : { path: path.join("."), meaning: "type" }
}

/** Whether an identifier names a property or a declaration, and refers to nothing. */
const isOnlyAName = (identifier: ts.Identifier): boolean => {
  const { parent } = identifier
  if (ts.isShorthandPropertyAssignment(parent)) return false
  if (ts.isQualifiedName(parent)) return parent.right === identifier
  const { name, propertyName } = parent as { readonly name?: ts.Node; readonly propertyName?: ts.Node }
  return name === identifier || propertyName === identifier
}

/** The effect modules that a module knows under a name of its own. */
const namespacesOf = (module: Module): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const { names, namespace, specifier } of module.imports) {
    if (specifier.split("/")[0] !== "effect") continue
    if (namespace !== undefined) found.set(namespace, specifier)
    const { namespaces } = exportsOf(fileOf(specifier))
    for (const { imported, local } of names) {
      const file = namespaces.get(imported)
      if (file !== undefined) found.set(local, `effect/${file.replace(/\.ts$/, "")}`)
    }
  }
  return found
}

const namedUses = (module: Module): ReadonlyArray<Use> =>
  module.imports.flatMap(({ line, names, specifier, typeOnly }) => {
    if (specifier.split("/")[0] !== "effect") return []
    const { namespaces } = exportsOf(fileOf(specifier))
    return names.filter(({ imported }) => !namespaces.has(imported)).map(({ imported }): Use => ({
      module: specifier,
      path: imported,
      meaning: typeOnly ? "type" : "value",
      line
    }))
  })

/** Everything of Effect that a module uses. */
export const usesOf = (module: Module): ReadonlyArray<Use> => {
  const namespaces = namespacesOf(module)
  const found: Array<Use> = [...namedUses(module)]
  walk(module.source, (node) => {
    if (!ts.isIdentifier(node) || isOnlyAName(node)) return
    const from = namespaces.get(node.text)
    if (from !== undefined) found.push({ module: from, ...member(node), line: lineOf(module.source, node) })
  })
  return found
}
