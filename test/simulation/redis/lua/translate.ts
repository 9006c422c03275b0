/**
 * Lua 5.1 to JavaScript, for as much of Lua as the scripts use; the rest is refused. A script becomes one function of a
 * host, `KEYS` and `ARGV`, which calls `runtime.ts`.
 *
 * A function gives one value, or an array of values if it may give none or several, or ends with what gives several.
 * Which of the two is known where it is called: functions have one name each, stand at the top of a script, and are
 * never assigned to.
 */
import luaparse from "luaparse"
import type { Reply } from "../reply.ts"
import type { Compiled, Host } from "./engine.ts"
import { LuaError, type Runtime, type Table, type Value } from "./runtime.ts"

type Expression = luaparse.Expression
type Statement = luaparse.Statement
type Call = luaparse.CallExpression | luaparse.StringCallExpression | luaparse.TableCallExpression
type Gives = "one" | "many"

/** A name of the script where it is visible. */
interface Local {
  readonly js: string
  /** Loops count in constants: JavaScript would count on from what was assigned. */
  readonly kind: "variable" | "constant" | "function"
  /** Undefined as long as the function is not translated. */
  gives: Gives | undefined
}

/** A function while it is translated. */
interface Frame {
  readonly gives: Gives
  readonly temporaries: Array<string>
  /** Whether a `return` has no value, or several. */
  returnsMany: boolean
}

/** What a function of the library becomes, and how many arguments it may have. */
interface Builtin {
  readonly arity: readonly [least: number, most: number]
  readonly gives: Gives
  readonly code: (args: ReadonlyArray<Expression>, gives: Gives) => string
}

const refuse = (what: string): never => {
  throw new Error(`not translated: ${what}`)
}

const isCall = (node: Expression): node is Call =>
  node.type === "CallExpression" || node.type === "StringCallExpression" || node.type === "TableCallExpression"

const argumentsOf = (node: Call): ReadonlyArray<Expression> =>
  node.type === "CallExpression"
    ? node.arguments
    : [node.type === "StringCallExpression" ? node.argument : node.arguments]

const literal = (value: string | number | boolean): string => JSON.stringify(value)

/** The text of a literal: patterns and forms are translated, too. */
const textIn = (node: Expression | undefined, what: string): string =>
  node?.type === "StringLiteral" ? node.value : refuse(`${what} that is no literal`)

const pathOf = (node: Expression): string =>
  node.type === "Identifier"
    ? node.name
    : node.type === "MemberExpression" && node.indexer === "."
    ? `${pathOf(node.base)}.${node.identifier.name}`
    : refuse(`a call of a ${node.type}`)

const comparisons: Readonly<Record<string, string>> = { "<": "less", "<=": "atMost", ">": "more", ">=": "atLeast" }

const arithmetic: Readonly<Record<string, string>> = {
  "+": "add",
  "-": "subtract",
  "*": "multiply",
  "/": "divide",
  "^": "power",
  "..": "concat"
}

const directives: Readonly<Record<string, string>> = { "%s": "spelled", "%.0f": "fixed", "%06d": "sixDigits" }

// A text has these as fields, which `index` does not know of.
const methods = new Set([
  ...["byte", "char", "dump", "find", "format", "gfind", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse"],
  ...["sub", "upper"]
])

class Translation {
  readonly code: string
  private readonly source: string
  private readonly scopes: Array<Map<string, Local>> = []
  private readonly frames: Array<Frame> = []
  private readonly patterns = new Map<string, string>()
  private count = 0

  constructor(source: string, names: ReadonlyArray<string>) {
    this.source = source
    const chunk = luaparse.parse(source, {
      luaVersion: "5.1",
      encodingMode: "pseudo-latin1",
      comments: false,
      ranges: true
    })
    const main = this.inScope(() => {
      for (const name of ["KEYS", "ARGV"]) {
        this.scopes.at(-1)!.set(name, { js: name, kind: "constant", gives: undefined })
      }
      return this.functionOf(["host", "KEYS", "ARGV"], chunk.body, "one")
    })
    const patterns = [...this.patterns].map(([code, name]) => `const ${name} = ${code}\n`).join("")
    this.code = `"use strict"\nconst { ${names.join(", ")} } = runtime\n${patterns}return ${main}`
  }

  // ---------------------------------------------------------------------------
  // names
  // ---------------------------------------------------------------------------

  private inScope<A>(within: () => A): A {
    this.scopes.push(new Map())
    const result = within()
    this.scopes.pop()
    return result
  }

  private fresh(name: string): string {
    return `${name}$${++this.count}`
  }

  private name(name: string, kind: Local["kind"] = "variable"): string {
    const js = this.fresh(name)
    this.scopes.at(-1)!.set(name, { js, kind, gives: undefined })
    return js
  }

  private find(name: string): Local | undefined {
    return this.scopes.findLast((scope) => scope.has(name))?.get(name)
  }

  private local(name: string): Local {
    return this.find(name) ?? refuse(`the name ${name}`)
  }

  private variable({ name }: luaparse.Identifier): string {
    const local = this.local(name)
    return local.kind === "variable" ? local.js : refuse(`an assignment to the ${local.kind} ${name}`)
  }

  private get frame(): Frame {
    return this.frames.at(-1)!
  }

  // ---------------------------------------------------------------------------
  // several values
  // ---------------------------------------------------------------------------

  private givesMany(node: Expression): boolean {
    if (node.type === "VarargLiteral") return true
    if (!isCall(node)) return false
    const name = node.base.type === "Identifier" ? this.find(node.base.name) : undefined
    if (name === undefined) return this.builtin(pathOf(node.base)).gives === "many"
    if (name.kind !== "function") return false
    return (name.gives ?? refuse(`${name.js}, which calls itself`)) === "many"
  }

  /**
   * Whether the last of what stands in `parent` gives all its values there. In parentheses it would give one, which the
   * parser does not tell: then there are more parentheses behind it than `parent` has.
   */
  private spreads(last: Expression | undefined, parent: luaparse.Node): last is Expression {
    if (last === undefined || !this.givesMany(last)) return false
    const [, from] = rangeOf(last)
    const [, to] = rangeOf(parent)
    const closing = this.source.slice(from, to).split(")").length - 1
    return closing === (parent.type === "CallExpression" ? 1 : 0) || refuse("several values in parentheses")
  }

  /** What stands in a list, separated by commas. */
  private values(list: ReadonlyArray<Expression>, parent: luaparse.Node): string {
    const last = list.at(-1)
    if (!this.spreads(last, parent)) return list.map((one) => this.expression(one)).join(", ")
    return [...list.slice(0, -1).map((one) => this.expression(one)), `...${this.all(last)}`].join(", ")
  }

  /** An array of all that an expression gives. */
  private all(node: Expression): string {
    return isCall(node) ? this.call(node, "many") : "varargs"
  }

  // ---------------------------------------------------------------------------
  // calls
  // ---------------------------------------------------------------------------

  private call(node: Call, gives: Gives): string {
    const args = argumentsOf(node)
    const local = node.base.type === "Identifier" ? this.find(node.base.name) : undefined
    if (local === undefined) return this.callBuiltin(node, pathOf(node.base), args, gives)
    if (local.kind !== "function") {
      return args.length === 0 ? `callValue(${local.js})` : refuse(`arguments for the value ${local.js}`)
    }
    const code = `${local.js}(${this.values(args, node)})`
    return gives === "one" && this.givesMany(node) ? `${code}[0]` : code
  }

  private callBuiltin(node: Call, path: string, args: ReadonlyArray<Expression>, gives: Gives): string {
    if (path === "redis.call") return `call(host, [${this.values(args, node)}])`
    if (path === "redis.pcall") return `tryCall(host, [${this.values(args, node)}])`
    if (path === "pcall") {
      const [first, ...rest] = args
      const f = first?.type === "Identifier" ? this.find(first.name) : undefined
      if (f?.kind !== "function") return refuse("a pcall of what is no function of the script")
      const code = `protect(${
        [f.js, literal(f.gives!), ...rest.length === 0 ? [] : [this.values(rest, node)]].join(", ")
      })`
      return gives === "one" ? `${code}[0]` : code
    }
    const { arity: [least, most], code } = this.builtin(path)
    if (args.length < least || args.length > most) refuse(`${path} of ${args.length} arguments`)
    if (this.spreads(args.at(-1), node)) refuse(`${path} of several values`)
    return code(args, gives)
  }

  private builtin(path: string): Builtin {
    return Object.hasOwn(this.builtins, path) ? this.builtins[path]! : refuse(`the function ${path}`)
  }

  private simple(js: string, least: number, most = least): Builtin {
    return {
      arity: [least, most],
      gives: "one",
      code: (args) => `${js}(${args.map((one) => this.expression(one)).join(", ")})`
    }
  }

  private readonly builtins: Readonly<Record<string, Builtin>> = {
    "tonumber": this.simple("tonumber", 1),
    "type": this.simple("typeOf", 1),
    "math.floor": this.simple("floor", 1),
    "math.min": this.simple("min", 1, Infinity),
    "string.sub": this.simple("cut", 2, 3),
    "table.concat": this.simple("join", 1, 2),
    "redis.error_reply": this.simple("errorReply", 1),
    // Translated where they are called.
    "redis.call": { arity: [0, Infinity], gives: "one", code: () => refuse("redis.call as a value") },
    "redis.pcall": { arity: [0, Infinity], gives: "one", code: () => refuse("redis.pcall as a value") },
    "pcall": { arity: [1, Infinity], gives: "many", code: () => refuse("pcall as a value") },
    "string.match": {
      arity: [2, 2],
      gives: "many",
      code: ([text, pattern], gives) =>
        `${gives === "one" ? "matchOne" : "match"}(${this.expression(text!)}, ${this.pattern(pattern)})`
    },
    "string.gmatch": {
      arity: [2, 2],
      gives: "one",
      code: ([text, pattern]) => {
        if (textIn(pattern, "a pattern").startsWith("^")) refuse("a pattern for gmatch that begins with ^")
        return `matches(${this.expression(text!)}, ${this.pattern(pattern, "g")})`
      }
    },
    "string.find": {
      arity: [4, 4],
      gives: "many",
      code: ([text, what, from, plain], gives) => {
        const isPlain = from?.type === "NumericLiteral" && from.value === 1 && plain?.type === "BooleanLiteral" &&
          plain.value
        if (!isPlain) refuse("string.find of a pattern")
        return `find(${this.expression(text!)}, ${this.expression(what!)})${gives === "one" ? "[0]" : ""}`
      }
    },
    "string.format": {
      arity: [1, Infinity],
      gives: "one",
      code: ([form, ...args]) => this.format(textIn(form, "a form"), args)
    }
  }

  /** A constant of the module: the regular expression of a pattern. */
  private pattern(node: Expression | undefined, flags = ""): string {
    const code = `patternOf(${literal(textIn(node, "a pattern"))}, ${literal(flags)})`
    let name = this.patterns.get(code)
    if (name === undefined) this.patterns.set(code, name = this.fresh("pattern"))
    return name
  }

  /** All arguments have their value before the first is written. */
  private format(form: string, args: ReadonlyArray<Expression>): string {
    const names = args.map((_, i) => `v${i}`)
    const parts = form.split(/(%[-+ #0]*\d*(?:\.\d*)?.)/s).filter((part) => part !== "")
    let next = 0
    const texts = parts.map((part) => {
      if (!part.startsWith("%")) return literal(part)
      const write = directives[part] ?? refuse(`${part} of string.format`)
      return `${write}(${names[next] ?? "undefined"}, ${++next + 1})`
    })
    return `((${names.join(", ")}) => ${["\"\"", ...texts].join(" + ")})(${
      args.map((one) => this.expression(one)).join(", ")
    })`
  }

  // ---------------------------------------------------------------------------
  // expressions
  // ---------------------------------------------------------------------------

  /** One value. */
  private expression(node: Expression): string {
    switch (node.type) {
      case "StringLiteral":
      case "NumericLiteral":
      case "BooleanLiteral":
        return literal(node.value)
      case "NilLiteral":
        return "undefined"
      case "VarargLiteral":
        return "varargs[0]"
      case "Identifier": {
        const local = this.local(node.name)
        return local.kind === "function" ? refuse(`the function ${node.name} as a value`) : local.js
      }
      case "IndexExpression":
        return `index(${this.expression(node.base)}, ${this.expression(node.index)})`
      case "MemberExpression":
        return `index(${this.expression(node.base)}, ${this.field(node)})`
      case "CallExpression":
      case "StringCallExpression":
      case "TableCallExpression":
        return this.call(node, "one")
      case "LogicalExpression": {
        const value = this.fresh("t")
        this.frame.temporaries.push(value)
        const left = `isTrue(${value} = ${this.expression(node.left)})`
        const right = this.expression(node.right)
        return node.operator === "and" ? `(${left} ? ${right} : ${value})` : `(${left} ? ${value} : ${right})`
      }
      case "UnaryExpression":
        if (node.operator === "not") return `!${this.truth(node.argument)}`
        if (node.operator === "#") return `length(${this.expression(node.argument)})`
        return node.operator === "-" ? `negate(${this.expression(node.argument)})` : refuse(node.operator)
      case "BinaryExpression":
        return this.binary(node)
      case "TableConstructorExpression":
        return this.table(node)
      default:
        return refuse(node.type)
    }
  }

  private field({ identifier: { name }, indexer }: luaparse.MemberExpression): string {
    return indexer !== "." || methods.has(name) ? refuse(`the field ${indexer}${name}`) : literal(name)
  }

  private binary({ left, operator, right }: luaparse.BinaryExpression): string {
    const a = this.expression(left)
    const b = this.expression(right)
    if (operator === "==") return `(${a} === ${b})`
    if (operator === "~=") return `(${a} !== ${b})`
    return `${comparisons[operator] ?? arithmetic[operator] ?? refuse(operator)}(${a}, ${b})`
  }

  private table(node: luaparse.TableConstructorExpression): string {
    const { fields } = node
    if (fields.every((field) => field.type === "TableValue")) {
      return `table([${this.values(fields.map(({ value }) => value), node)}])`
    }
    const entries = fields.map((field) => {
      if (field.type === "TableValue") return refuse("a table of values and fields")
      const key = field.type === "TableKey" ? this.expression(field.key) : literal(field.key.name)
      return `[${key}, ${this.expression(field.value)}]`
    })
    return `record([${entries.join(", ")}])`
  }

  /** Whether it is neither nil nor false, as JavaScript's own boolean. */
  private truth(node: Expression): string {
    if (node.type === "LogicalExpression") {
      return `(${this.truth(node.left)} ${node.operator === "and" ? "&&" : "||"} ${this.truth(node.right)})`
    }
    if (node.type === "UnaryExpression" && node.operator === "not") return `!${this.truth(node.argument)}`
    const isBoolean = node.type === "BinaryExpression" &&
      (node.operator === "==" || node.operator === "~=" || node.operator in comparisons)
    return isBoolean ? this.expression(node) : `isTrue(${this.expression(node)})`
  }

  // ---------------------------------------------------------------------------
  // statements
  // ---------------------------------------------------------------------------

  private block(body: ReadonlyArray<Statement>): string {
    return this.inScope(() => body.map((one) => this.statement(one)).join(""))
  }

  private functionOf(parameters: ReadonlyArray<string>, body: ReadonlyArray<Statement>, gives: Gives): string {
    const frame: Frame = { gives, temporaries: [], returnsMany: false }
    this.frames.push(frame)
    const code = this.block(body)
    this.frames.pop()
    if (frame.returnsMany && gives === "one") {
      return this.frames.length === 0 ? refuse("a script of several values") : ""
    }
    const temporaries = frame.temporaries.length === 0 ? "" : `let ${frame.temporaries.join(", ")}\n`
    return `(${parameters.join(", ")}) => {\n${temporaries}${code}${gives === "many" ? "return []\n" : ""}}`
  }

  private functionDeclaration(node: luaparse.FunctionDeclaration): string {
    if (!node.isLocal || node.identifier?.type !== "Identifier" || this.frames.length > 1) {
      return refuse("a function that is not a local one of the script")
    }
    const { name } = node.identifier
    const js = this.name(name, "function")
    const attempt = (gives: Gives): string =>
      this.inScope(() => {
        const parameters = node.parameters.map((one) => one.type === "Identifier" ? this.name(one.name) : "...varargs")
        return this.functionOf(parameters, node.body, gives)
      })
    // One that comes to its end gives nothing, which is not nil where values are counted.
    const one = node.body.at(-1)?.type === "ReturnStatement" ? attempt("one") : ""
    const code = one === "" ? attempt("many") : one
    this.local(name).gives = one === "" ? "many" : "one"
    return `const ${js} = ${code}\n`
  }

  private localStatement(node: luaparse.LocalStatement): string {
    const { init, variables } = node
    if (init.length > variables.length) refuse("more values than names")
    // All values stand for what the names meant before.
    if (init.length < variables.length && this.spreads(init.at(-1), node)) {
      const values = this.values(init, node)
      return `let [${variables.map(({ name }) => this.name(name)).join(", ")}] = [${values}]\n`
    }
    const values = variables.map((_, i) => init[i] === undefined ? "undefined" : this.expression(init[i]))
    return variables.map(({ name }, i) => `let ${this.name(name)} = ${values[i]}\n`).join("")
  }

  private assign(target: luaparse.AssignmentStatement["variables"][number], code: string): string {
    if (target.type === "Identifier") return `${this.variable(target)} = ${code}\n`
    const key = target.type === "IndexExpression" ? this.expression(target.index) : this.field(target)
    return `put(${this.expression(target.base)}, ${key}, ${code})\n`
  }

  private assignment(node: luaparse.AssignmentStatement): string {
    const { init, variables } = node
    if (init.length > variables.length) refuse("more values than names")
    if (variables.length === 1) return this.assign(variables[0]!, this.expression(init[0]!))
    // Lua does not say when it looks at the tables and keys on the left: here they must not depend on it.
    if (!variables.every((one) => one.type === "Identifier")) refuse("an assignment to several fields")
    const names = variables.map(() => this.fresh("a"))
    const values = this.values(init, node)
    return `{ const [${names.join(", ")}] = [${values}]\n${
      variables.map((one, i) => this.assign(one, names[i]!)).join("")
    }}\n`
  }

  private ifStatement({ clauses }: luaparse.IfStatement): string {
    const codes = clauses.map((clause) =>
      clause.type === "ElseClause"
        ? `{\n${this.block(clause.body)}}`
        : `if (${this.truth(clause.condition)}) {\n${this.block(clause.body)}}`
    )
    return `${codes.join(" else ")}\n`
  }

  private forNumeric({ body, end, start, step, variable }: luaparse.ForNumericStatement): string {
    const by = step === null ? 1 : step.type === "NumericLiteral" && step.value > 0 ? step.value : refuse("a step")
    const from = this.fresh("from")
    const to = this.fresh("to")
    const bounds = `const ${from} = ${this.expression(start)}, ${to} = ${this.expression(end)}`
    return this.inScope(() => {
      const i = this.name(variable.name, "constant")
      const last = this.fresh("last")
      return `{ ${bounds}\nfor (let ${i} = loopNumber(${from}, "initial value"), ${last} = loopNumber(${to}, "limit"); ` +
        `${i} <= ${last}; ${i} += ${by}) {\n${this.block(body)}} }\n`
    })
  }

  private forGeneric({ body, iterators, variables }: luaparse.ForGenericStatement): string {
    const [iterator] = iterators
    if (iterator === undefined || iterators.length > 1) return refuse("a loop of several iterators")
    const isPairs = isCall(iterator) && iterator.base.type === "Identifier" && iterator.base.name === "ipairs"
    const [first, second, ...others] = variables
    if (first === undefined || others.length > 0 || (second !== undefined) !== isPairs) return refuse("names of a loop")
    if (!isPairs) {
      const next = this.fresh("next")
      const before = this.expression(iterator)
      return this.inScope(() => {
        const value = this.name(first.name, "constant")
        return `{ const ${next} = ${before}\n` +
          `for (let ${value}; (${value} = callValue(${next})) !== undefined;) {\n${this.block(body)}} }\n`
      })
    }
    const [table, ...more] = argumentsOf(iterator)
    if (table === undefined || more.length > 0) return refuse("ipairs of several values")
    const all = this.expression(table)
    return this.inScope(() => {
      const at = this.name(first.name, "constant")
      const value = this.name(second!.name, "constant")
      return `for (const [${at}, ${value}] of each(${all}).map((one, i) => [i + 1, one])) {\n${this.block(body)}}\n`
    })
  }

  private returnStatement(node: luaparse.ReturnStatement): string {
    const [first, ...others] = node.arguments
    const isMain = this.frames.length === 1
    if (others.length > 0 || this.spreads(first, node) || (first === undefined && !isMain)) {
      this.frame.returnsMany = true
    }
    if (this.frame.gives === "one") return `return ${first === undefined ? "" : this.expression(first)}\n`
    if (others.length === 0 && this.spreads(first, node)) return `return ${this.all(first)}\n`
    return `return [${this.values(node.arguments, node)}]\n`
  }

  private statement(node: Statement): string {
    switch (node.type) {
      case "LocalStatement":
        return this.localStatement(node)
      case "AssignmentStatement":
        return this.assignment(node)
      case "FunctionDeclaration":
        return this.functionDeclaration(node)
      case "CallStatement":
        return `${this.call(node.expression, "many")}\n`
      case "IfStatement":
        return this.ifStatement(node)
      case "ForNumericStatement":
        return this.forNumeric(node)
      case "ForGenericStatement":
        return this.forGeneric(node)
      case "ReturnStatement":
        return this.returnStatement(node)
      default:
        return refuse(node.type)
    }
  }
}

const rangeOf = (node: luaparse.Node): readonly [number, number] =>
  (node as unknown as { readonly range: readonly [number, number] }).range

type Script = (host: Host, keys: Table, args: Table) => Value

/** Translates a script, and makes it a function. */
export const translate = (source: string, using: Runtime): Compiled => {
  const { code } = new Translation(source, Object.keys(using))
  // oxlint-disable-next-line no-new-func, no-implied-eval -- what is run is what was translated
  const script = new Function("runtime", code)(using) as Script
  return {
    run: (host, keys, args): Reply => {
      try {
        return using.toReply(script(host, using.table([...keys]), using.table([...args])))
      } catch (error) {
        if (!(error instanceof LuaError)) throw error
        return using.toFailure(error)
      }
    }
  }
}
