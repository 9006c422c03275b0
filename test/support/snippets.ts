/**
 * The code in the documentation: found, made into programs, and run.
 *
 * A block that begins with three backticks and `ts` is type-checked and run; one that begins with
 * `ts no-run` is type-checked only. In a block, `expression // => expected`
 * promises what the expression gives. The `// =>` may stand on the lines after
 * the expression, and go on over several lines of comment.
 * A server is in the environment: `REDIS_URL` and `REDIS_NODES`. A block that is
 * marked as a part of a file is no program of its own (see `excerpts.ts`).
 *
 * Every line of a program is the line of its snippet, so that the place of an
 * error is known.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript-6"
import { markerAbove } from "./excerpts.ts"
import { root, walk } from "./modules.ts"

export interface Snippet {
  /** Below the root: `docs/guide.md`. */
  readonly file: string
  /** Of the first line of code. */
  readonly line: number
  readonly code: string
  readonly runs: boolean
}

/** A snippet that is no snippet: a `// =>` that follows nothing, a fence that never ends. */
export class SnippetError extends Error {
  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`)
    this.name = "SnippetError"
  }
}

// -----------------------------------------------------------------------------
// finding
// -----------------------------------------------------------------------------

/** The lines of a TypeScript file's JSDoc as if they were Markdown; all others are empty. */
const jsdocLines = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  let inside = false
  return lines.map((line) => {
    if (!inside) inside = /^\s*\/\*\*(?!.*\*\/)/.test(line)
    else if (line.includes("*/")) inside = false
    else return line.replace(/^\s*\* ?/, "")
    return ""
  })
}

const opening = /^( *)(`{3,})([^`]*)$/

const fenceOf = (info: string): "run" | "check" | "other" | "unknown" => {
  const [language, ...flags] = info.trim().split(/\s+/)
  if (language !== "ts") return "other"
  if (flags.length === 0) return "run"
  return flags.length === 1 && flags[0] === "no-run" ? "check" : "unknown"
}

/** The snippets of one file. */
export const extract = (file: string, text: string): ReadonlyArray<Snippet> => {
  const all = text.split(/\r?\n/)
  const lines = file.endsWith(".ts") ? jsdocLines(all) : all
  const found: Array<Snippet> = []
  for (let i = 0; i < lines.length; i++) {
    const [, indent, ticks, info] = opening.exec(lines[i]!) ?? []
    if (indent === undefined || ticks === undefined || info === undefined) continue
    const end = lines.findIndex((line, j) => j > i && line.trimEnd() === `${indent}${ticks}`)
    if (end < 0) throw new SnippetError(file, i + 1, "the fence never ends")
    const fence = fenceOf(info)
    if (fence === "unknown") throw new SnippetError(file, i + 1, `"${info}" is neither "ts" nor "ts no-run"`)
    if (fence !== "other" && !markerAbove(lines, i)) {
      const code = lines.slice(i + 1, end).map((line) => line.startsWith(indent) ? line.slice(indent.length) : line)
      found.push({ file, line: i + 2, code: code.join("\n"), runs: fence === "run" })
    }
    i = end
  }
  return found
}

const below = (folder: string, ending: string, recursive: boolean): ReadonlyArray<string> => {
  const absolute = path.join(root, folder)
  if (!fs.existsSync(absolute)) return []
  return fs.readdirSync(absolute, { recursive, encoding: "utf8" })
    .filter((file) => file.endsWith(ending))
    .toSorted()
    .map((file) => path.posix.join(folder, file))
}

/** Every snippet of the project. */
export const findAll = (): ReadonlyArray<Snippet> => {
  const pages = ["README.md", "CONTRIBUTING.md"].filter((file) => fs.existsSync(path.join(root, file)))
  return [...pages, ...below("docs", ".md", true), ...below("src", ".ts", false)]
    .flatMap((file) => extract(file, fs.readFileSync(path.join(root, file), "utf8")))
}

// -----------------------------------------------------------------------------
// making programs
// -----------------------------------------------------------------------------

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

const applyEdits = (text: string, edits: ReadonlyArray<Edit>): string =>
  edits.toSorted((a, b) => b.start - a.start)
    .reduce((done, { end, start, text }) => done.slice(0, start) + text + done.slice(end), text)

const packageName = "effect-cache-algebra"

/** A user's imports lead to the sources, so that nothing need be built. */
const importEdits = (source: ts.SourceFile, file: string, src: string): ReadonlyArray<Edit> => {
  const edits: Array<Edit> = []
  walk(source, (node) => {
    if (!ts.isStringLiteral(node)) return
    const isSpecifier = ts.isImportDeclaration(node.parent) || ts.isExportDeclaration(node.parent) ||
      (ts.isCallExpression(node.parent) && node.parent.expression.kind === ts.SyntaxKind.ImportKeyword)
    if (!isSpecifier) return
    const isPackage = node.text === packageName || node.text.startsWith(`${packageName}/`)
    if (!isPackage && !node.text.startsWith(".")) return
    const to = isPackage
      ? `${src}/${node.text.slice(packageName.length + 1) || "index"}.ts`
      // A page's own imports lead from where it stands.
      : `${path.posix.dirname(src)}/${path.posix.join(path.posix.dirname(file), node.text)}`
    edits.push({ start: node.getStart(source), end: node.end, text: JSON.stringify(to) })
  })
  return edits
}

interface Comment {
  readonly pos: number
  readonly end: number
  readonly text: string
}

const lineComments = (source: ts.SourceFile): ReadonlyArray<Comment> => {
  const found = new Map<number, Comment>()
  const visit = (node: ts.Node): void => {
    // What stands before a token is also all that stands after the token before it.
    const ranges = [
      ...(ts.getTrailingCommentRanges(source.text, node.pos) ?? []),
      ...(ts.getLeadingCommentRanges(source.text, node.pos) ?? [])
    ]
    for (const { end, kind, pos } of ranges) {
      if (kind === ts.SyntaxKind.SingleLineCommentTrivia) {
        found.set(pos, { pos, end, text: source.text.slice(pos, end) })
      }
    }
    for (const child of node.getChildren(source)) visit(child)
  }
  visit(source)
  return [...found.values()].toSorted((a, b) => a.pos - b.pos)
}

const promise = /^\/\/\s?=>/

/** The text of an expression without what follows it, if the text is one. */
const expressionIn = (text: string): string | undefined => {
  const source = ts.createSourceFile("expected.ts", `(${text}\n)`, ts.ScriptTarget.Latest, true)
  const [first, ...more] = source.statements
  const broken = (source as unknown as { readonly parseDiagnostics: ReadonlyArray<unknown> }).parseDiagnostics
  if (broken.length > 0 || more.length > 0 || first === undefined || !ts.isExpressionStatement(first)) return undefined
  return ts.isParenthesizedExpression(first.expression) ? first.expression.expression.getText(source) : undefined
}

/** What a promise promises, and how many of the comments it takes up. */
const expected = (source: ts.SourceFile, comments: ReadonlyArray<Comment>) => {
  let text = comments[0]!.text.replace(promise, "")
  for (let used = 1;; used++) {
    const expression = expressionIn(text)
    if (expression !== undefined) return { expression, end: comments[used - 1]!.end }
    const next = comments[used]
    const adjacent = next !== undefined && !promise.test(next.text) &&
      /^\r?\n[ \t]*$/.test(source.text.slice(comments[used - 1]!.end, next.pos))
    if (!adjacent) return undefined
    text += `\n${next.text.slice(2)}`
  }
}

/** Where the check of a promise goes: its opening stands for one piece of text, its rest for another. */
interface Subject {
  readonly start: number
  readonly opening: string
  readonly openingEnd: number
  readonly valueEnd: number
}

/** What a promise can be about: an expression's value, a constant's, or what `console.log` is given. */
const subjectOf = (statement: ts.Statement): Subject | undefined => {
  if (ts.isVariableStatement(statement)) {
    const [one, ...more] = statement.declarationList.declarations
    if (more.length > 0 || !ts.isIdentifier(one!.name)) return undefined
    const { end } = statement
    return { start: end, opening: `; __check(${one!.name.text}`, openingEnd: end, valueEnd: end }
  }
  if (!ts.isExpressionStatement(statement)) return undefined
  const { expression } = statement
  const logged = ts.isCallExpression(expression) && expression.arguments.length === 1 &&
    expression.expression.getText() === "console.log"
  const value = logged ? expression.arguments[0]! : expression
  return {
    start: expression.getStart(),
    opening: "__check(",
    openingEnd: value.getStart(),
    valueEnd: value.end
  }
}

const statementsIn = (source: ts.SourceFile): ReadonlyArray<ts.Statement> => {
  const found: Array<ts.Statement> = []
  walk(source, (node) => {
    if (ts.isExpressionStatement(node) || ts.isVariableStatement(node)) found.push(node)
  })
  return found
}

const newlines = (text: string): string => text.replace(/[^\n]/g, "")

const promiseEdits = (snippet: Snippet, source: ts.SourceFile): ReadonlyArray<Edit> => {
  const comments = lineComments(source)
  const statements = statementsIn(source)
  return comments.flatMap((comment, i) => {
    if (!promise.test(comment.text)) return []
    const line = snippet.line + source.getLineAndCharacterOfPosition(comment.pos).line
    const statement = statements.find(({ end }) =>
      end <= comment.pos && source.text.slice(end, comment.pos).trim() === ""
    )
    const subject = statement && subjectOf(statement)
    if (subject === undefined) throw new SnippetError(snippet.file, line, `"${comment.text}" follows no expression`)
    const promised = expected(source, comments.slice(i))
    if (promised === undefined) throw new SnippetError(snippet.file, line, `"${comment.text}" promises no expression`)
    const { opening, openingEnd, start, valueEnd } = subject
    const where = JSON.stringify(`${snippet.file}:${line}`)
    // The lines between the expression and its promise stay lines.
    const gap = newlines(source.text.slice(valueEnd, comment.pos))
    const rest = `${gap}, (${promised.expression}), ${where})`
    return start === valueEnd
      ? [{ start, end: promised.end, text: opening + rest }]
      : [{ start, end: openingEnd, text: opening }, { start: valueEnd, end: promised.end, text: rest }]
  })
}

/** The program of a snippet, for a file from where `src` and `support` are reached by these paths. */
export const program = (snippet: Snippet, paths: { readonly src: string; readonly support: string }): string => {
  const source = ts.createSourceFile("snippet.ts", snippet.code, ts.ScriptTarget.Latest, true)
  const promises = snippet.runs ? promiseEdits(snippet, source) : []
  const edits = [...importEdits(source, snippet.file, paths.src), ...promises]
  const header = promises.length === 0
    ? "export {}; "
    : `import { check as __check } from "${paths.support}/expectation.ts"; `
  return `${header}${applyEdits(snippet.code, edits)}\n`
}
