/**
 * The rules of the house that no compiler knows: which module may import which,
 * what of Effect may be used, and where time and chance come from.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript-6"
import { assert, describe, it } from "vitest"
import {
  type Import,
  lineOf,
  type Module,
  packageOf,
  readModule,
  readModules,
  root,
  target,
  walk
} from "../support/modules.ts"
import { complaint, usesOf } from "../support/stability.ts"

/** Imports point down this list, never up. Floor 1 is the first row. */
const floors: ReadonlyArray<ReadonlyArray<string>> = [
  ["InvalidInput", "Verdict", "Dependency", "Key"],
  ["Policy", "Invalidation", "Entity", "Change"],
  ["CacheStore", "CacheService", "Changes", "Repository", "Outbox", "Schedules"],
  ["MemoryCache", "RedisCache", "TestCache", "Contract", "SqlOutbox"],
  ["Cached", "Catalogue"]
]

/** A test store is the memory store with instruments. */
const neighboursOnFour: ReadonlySet<string> = new Set(["TestCache -> MemoryCache"])

/** What may be left of an import at run time; the second list only in the stores. */
const packages: ReadonlySet<string> = new Set(["effect"])
const backends: ReadonlySet<string> = new Set(["lru-cache", "ioredis", "node:net", "node:tls"])

/** Documented as unstable, since they use what of Effect is. */
const unstable: ReadonlySet<string> = new Set(["SqlOutbox"])

/** Not in the index: who does not import them does not load them. */
const byPath: ReadonlySet<string> = new Set([
  "Catalogue",
  "Contract",
  "Outbox",
  "RedisCache",
  "Schedules",
  "SqlOutbox",
  "TestCache"
])

/** Time is read from `Clock`, and chance from `Random`. */
const ambient: ReadonlySet<string> = new Set([
  "Date.now",
  "Math.random",
  "performance.now",
  "crypto.randomUUID",
  "process.hrtime",
  "setTimeout",
  "setInterval",
  "setImmediate"
])

/** Modules that may use some of it all the same, with the reason beside them. */
const allowedAmbient: Readonly<Record<string, ReadonlyArray<string>>> = {}

const modules = readModules(path.join(root, "src"))
const byName = new Map(modules.map((module) => [module.name, module]))
const publicNames = modules.map(({ name }) => name)
  .filter((name) => name !== "index" && !name.startsWith("internal/"))
/** What a large room keeps behind its door: on its floor, and for those alone who have the key. */
const backRooms: Readonly<Record<string, readonly [room: string, ...keys: ReadonlyArray<string>]>> = {
  "internal/changes/": ["Changes", "Outbox"],
  "internal/contract/": ["Contract"],
  "internal/interpreter/": ["Cached"],
  "internal/memory/": ["MemoryCache"],
  "internal/redis/": ["RedisCache"],
  "internal/testing/": ["TestCache"],
  "internal/service/": ["CacheService", "Cached", "Changes", "Contract", "Schedules"]
}

/** What a policy is inside. */
const isPolicyInside = (name: string): boolean => /^internal\/(plan$|policy\/)/.test(name)

const backRoomOf = (name: string): readonly [room: string, ...keys: ReadonlyArray<string>] | undefined =>
  Object.entries(backRooms).find(([folder]) => name.startsWith(folder))?.[1]
const roomOf = (name: string): string => backRoomOf(name)?.[0] ?? name
const isInternal = (name: string): boolean => roomOf(name).startsWith("internal/")
const floorOf = (name: string): number => floors.findIndex((rooms) => rooms.includes(roomOf(name))) + 1
const at = (module: Module, { line }: { readonly line: number }): string => `src/${module.name}.ts:${line}`

const directionComplaint = (from: string, to: string, typeOnly: boolean): string | undefined => {
  if (roomOf(from) === roomOf(to)) return undefined
  const backRoom = backRoomOf(to)
  if (isPolicyInside(to) && floorOf(from) === 4) return `${from} is a store, and a store never sees a policy`
  if (backRoom !== undefined) return backRoom.includes(roomOf(from)) ? undefined : `${to} belongs to ${roomOf(to)}`
  if (isInternal(to)) return undefined
  const [low, high] = [floorOf(to), floorOf(from)]
  if (isInternal(from)) {
    return typeOnly || low === 1
      ? undefined
      : `an internal module may import values from floor 1 only, and ${to} is on ${low}`
  }
  if (low > high) return `${from} is on floor ${high} and may not look up to ${to} on floor ${low}`
  if (high === 5 && low === 4) return `${from} may not know a store, and ${to} is one`
  if (high === 4 && to === "Policy") return `${from} is a store, and a store never sees a policy`
  if (high === 4 && low === 4 && !neighboursOnFour.has(`${roomOf(from)} -> ${to}`)) {
    return `${from} and ${to} are stores, and stores do not know each other`
  }
}

const effectComplaints = (module: Module): ReadonlyArray<string> =>
  usesOf(module).flatMap((use) => {
    const what = complaint(use)
    return what === undefined ? [] : [`${at(module, use)} ${what}`]
  })

const complaintsAbout = (
  module: Module,
  judge: (to: string, one: Import) => string | undefined
): ReadonlyArray<string> =>
  module.imports.flatMap((one) => {
    const to = target(module, one)
    const what = to === undefined ? undefined : judge(to, one)
    return what === undefined ? [] : [`${at(module, one)} ${what}`]
  })

const targetsAtRunTime = (module: Module): ReadonlyArray<string> =>
  module.imports.flatMap((one) => one.typeOnly ? [] : target(module, one) ?? [])

const targets = (module: Module): ReadonlyArray<string> => module.imports.flatMap((one) => target(module, one) ?? [])

/** The first way around that leads from a module back to itself. */
const cycleFrom = (
  start: string,
  targetsOf: (module: Module) => ReadonlyArray<string>
): ReadonlyArray<string> | undefined => {
  const seen = new Set<string>()
  const go = (name: string, trail: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    for (const next of targetsOf(byName.get(name)!)) {
      if (next === start) return [...trail, name, next]
      if (seen.has(next) || !byName.has(next)) continue
      seen.add(next)
      const found = go(next, [...trail, name])
      if (found !== undefined) return found
    }
  }
  return go(start, [])
}

const reachable = (start: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(start) || !byName.has(start)) return seen
  seen.add(start)
  for (const next of targetsAtRunTime(byName.get(start)!)) reachable(next, seen)
  return seen
}

const packagesOf = (module: Module): ReadonlyArray<readonly [string, Import]> =>
  module.imports.flatMap((one) => {
    const name = packageOf(one)
    return one.typeOnly || name === undefined ? [] : [[name, one] as const]
  })

/** The ambient clocks, timers and dice that a module uses. */
const ambientUses = (module: Module): ReadonlyArray<{ readonly what: string; readonly line: number }> => {
  const found: Array<{ readonly what: string; readonly line: number }> = []
  const add = (what: string, node: ts.Node) => found.push({ what, line: lineOf(module.source, node) })
  walk(module.source, (node) => {
    if (ts.isPropertyAccessExpression(node)) {
      const text = node.getText(module.source).replace(/^globalThis\??\./, "").replaceAll("?.", ".")
      if (ambient.has(text)) add(text, node)
    }
    if (ts.isIdentifier(node) && ambient.has(node.text) && (node.parent as { readonly name?: ts.Node }).name !== node) {
      add(node.text, node)
    }
    if (ts.isNewExpression(node) && node.expression.getText() === "Date" && (node.arguments ?? []).length === 0) {
      add("new Date()", node)
    }
  })
  return found
}

/** Spreads into a call of lists that stand in the program, and are short; with the folder or file, and the reason beside. */
const shortSpreads: ReadonlyArray<readonly [where: string, what?: string]> = [
  // What the laws of stores are tried with.
  ["internal/contract/"],
  // One or two arguments, and the two channels.
  ["internal/redis/ioredis", "args as Array<never>"],
  ["internal/redis/ioredis", "channels"]
]

/** A list in place of the arguments of a call dies of its length at some 120 000, and earlier deep in a stack. */
const spreadsIntoCalls = (
  module: Module
): ReadonlyArray<{ readonly what: string; readonly line: number }> => {
  const found: Array<{ readonly what: string; readonly line: number }> = []
  // What has come in as arguments can go on as arguments.
  const isOwnRest = (node: ts.Node, name: string): boolean =>
    node.parent !== undefined &&
    (ts.isFunctionLike(node) &&
        node.parameters.some(({ dotDotDotToken, name: own }) =>
          dotDotDotToken !== undefined && own.getText(module.source) === name
        ) || isOwnRest(node.parent, name))
  const plain = (node: ts.Expression): ts.Expression =>
    ts.isAsExpression(node) || ts.isParenthesizedExpression(node) ? plain(node.expression) : node
  walk(module.source, (node) => {
    if (!ts.isSpreadElement(node) || !(ts.isCallExpression(node.parent) || ts.isNewExpression(node.parent))) return
    const list = plain(node.expression)
    if (ts.isArrayLiteralExpression(list) && !list.elements.some(ts.isSpreadElement)) return
    if (ts.isIdentifier(list) && isOwnRest(node, list.text)) return
    found.push({ what: node.expression.getText(module.source), line: lineOf(module.source, node) })
  })
  return found
}

describe("the house", () => {
  it("the map in the README says of every public module, and of no other, where it is imported from", () => {
    const readme = fs.readFileSync(path.join(import.meta.dirname, "../../README.md"), "utf8")
    const map = readme.slice(readme.indexOf("## Map of the modules"))
    const rows = [...map.slice(0, map.indexOf("\n## ", 1)).matchAll(/^\| `(\w+)` \| (\w+) \|/gm)]
    const expected = publicNames.map((name) => `${name}: ${byPath.has(name) ? "path" : "index"}`)
    assert.deepStrictEqual(rows.map(([, name, from]) => `${name}: ${from}`).sort(), expected.sort())
  })

  it("every public module has a floor", () => {
    const homeless = publicNames.filter((name) => floorOf(name) === 0)
    assert.deepStrictEqual(homeless, [], "add these modules to the table `floors` in test/house/house.test.ts")
  })

  it("imports point down", () => {
    const wrong = modules.filter(({ name }) => name !== "index").flatMap((module) =>
      complaintsAbout(module, (to, { typeOnly }) => {
        if (to === "index") return "imports the index, which is for users"
        return byName.has(to) ? directionComplaint(module.name, to, typeOnly) : `imports ${to}, which is not there`
      })
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("no module needs itself at run time", () => {
    const cycles = modules.flatMap(({ name }) => cycleFrom(name, targetsAtRunTime)?.join(" -> ") ?? [])
    assert.deepStrictEqual(cycles, [])
  })

  it("no module needs itself for its types", () => {
    const cycles = modules.flatMap(({ name }) => cycleFrom(name, targets)?.join(" -> ") ?? [])
    assert.deepStrictEqual(cycles, [])
  })

  it("the index is the list of public modules that most programs need", () => {
    // In the order that dprint gives them, which is that of a dictionary.
    const dictionary = (a: string, b: string): number => a.toLowerCase() < b.toLowerCase() ? -1 : 1
    const expected = publicNames.filter((name) => !byPath.has(name)).toSorted(dictionary).map((name) =>
      `export * as ${name} from "./${name}.ts"`
    )
    const actual = byName.get("index")!.source.statements.map((statement) => statement.getText())
    assert.deepStrictEqual(actual, expected)
  })

  it("who imports the index loads no module that is imported by its own path", () => {
    assert.deepStrictEqual([...reachable("index")].filter((name) => byPath.has(roomOf(name))), [])
  })

  it("nothing is needed at run time but effect, and in the stores their backends", () => {
    const wrong = modules.flatMap((module) =>
      packagesOf(module).flatMap(([name, one]) => {
        if (packages.has(name)) return []
        if (!backends.has(name)) return [`${at(module, one)} imports ${name}`]
        const users = modules.filter((user) => floorOf(user.name) > 0 && floorOf(user.name) !== 4)
          .filter((user) => reachable(user.name).has(module.name))
        return users.map((user) => `src/${user.name}.ts is no store, and needs ${name} by way of ${at(module, one)}`)
      })
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of Effect only what is stable is used", () => {
    assert.deepStrictEqual(modules.filter(({ name }) => !unstable.has(name)).flatMap(effectComplaints), [])
  })

  it("no list becomes the arguments of a call", () => {
    const wrong = modules.flatMap((module) =>
      spreadsIntoCalls(module)
        .filter(({ what }) =>
          !shortSpreads.some(([where, short = what]) => module.name.startsWith(where) && short === what)
        )
        .map((use) => `${at(module, use)} spreads ${use.what}`)
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("time is read from Clock, and chance from Random", () => {
    const wrong = modules.flatMap((module) =>
      ambientUses(module)
        .filter(({ what }) => !(allowedAmbient[module.name] ?? []).includes(what))
        .map((use) => `${at(module, use)} uses ${use.what}`)
    )
    assert.deepStrictEqual(wrong, [])
  })
})

// TypeScript 6 is installed beside it, for the type tests, and brings a `tsc` too.
it("tsc is the compiler that package.json asks for", () => {
  const modules = path.join(root, "node_modules")
  const owner = path.relative(modules, fs.realpathSync(path.join(modules, ".bin/tsc"))).split(path.sep)[0]
  assert.strictEqual(owner, "typescript", "remove node_modules and install again")
})

// A check that finds nothing proves little unless it finds what is there.
describe("the checks of the house", () => {
  const effect = (text: string): ReadonlyArray<string> =>
    effectComplaints(readModule("Example", text)).map((line) => line.replace(/^\S+ /, ""))

  it("tell stable from unstable", () => {
    const text = `
      import { Effect, pipe } from "effect"
      import * as Schema from "effect/Schema"
      import type * as Redis from "effect/persistence/Redis"
      import { make } from "effect/persistence/RateLimiter"
      export const fine: Effect.Effect<number> = pipe(Effect.void, Effect.as(1))
      export type Fine = Schema.Struct.Fields
      export interface AlsoFine extends Schema.Top {}
      export type Wrong = Redis.RedisMessage
      export const absent = Effect.notThere
      export const whole = { Schema }
    `
    assert.deepStrictEqual(effect(text), [
      "effect/persistence/RateLimiter.make is unstable",
      "effect/persistence/Redis.RedisMessage is unstable",
      "effect/Effect.notThere is not an export",
      "effect/Schema is used as a whole, and nobody can tell what of it"
    ])
  })

  it("see imports of every form", () => {
    const module = readModule(
      "internal/example",
      `
      import { a } from "../Policy.ts"
      import { type B } from "../Dependency.ts"
      import type * as C from "../Key.ts"
      export * from "./escape.ts"
      const d = await import("../Cached.ts")
      type E = import("../Change.ts").Change
      import "@scope/package/deep"
    `
    )
    const seen = module.imports.map((one) => [target(module, one) ?? packageOf(one), one.typeOnly])
    assert.deepStrictEqual(seen, [
      ["Policy", false],
      ["Dependency", true],
      ["Key", true],
      ["internal/escape", false],
      ["Cached", false],
      ["Change", true],
      ["@scope/package", false]
    ])
  })

  it("see lists that become arguments", () => {
    const module = readModule(
      "Example",
      `
      const list = [1, 2]
      Math.max(...list)
      new Set(...list.map(String))
      list.push(...(list as Array<number>))
      list.push(...[1, ...list])
      const fine = (...rest: Array<number>) => () => [Math.max(...rest), ...list, Math.max(...[1, 2] as const)]
      const wrong = (rest: Array<number>) => Math.max(...rest)
    `
    )
    assert.deepStrictEqual(spreadsIntoCalls(module).map(({ line, what }) => `${line}: ${what}`), [
      "3: list",
      "4: list.map(String)",
      "5: (list as Array<number>)",
      "6: [1, ...list]",
      "8: rest"
    ])
  })

  it("know which way is down", () => {
    assert.isUndefined(directionComplaint("Policy", "Key", false))
    assert.isUndefined(directionComplaint("TestCache", "MemoryCache", false))
    assert.isUndefined(directionComplaint("internal/load", "Policy", true))
    assert.match(directionComplaint("Key", "Policy", true)!, /may not look up/)
    assert.match(directionComplaint("MemoryCache", "Policy", true)!, /never sees a policy/)
    assert.match(directionComplaint("MemoryCache", "internal/policy/tree", true)!, /never sees a policy/)
    assert.match(directionComplaint("internal/redis/wire", "internal/plan", true)!, /never sees a policy/)
    assert.match(directionComplaint("RedisCache", "MemoryCache", false)!, /do not know each other/)
    assert.match(directionComplaint("Cached", "MemoryCache", false)!, /may not know a store/)
    assert.match(directionComplaint("internal/load", "Policy", false)!, /from floor 1 only/)
    assert.isUndefined(directionComplaint("RedisCache", "internal/redis/wire", false))
    assert.isUndefined(directionComplaint("internal/redis/wire", "Invalidation", false))
    assert.match(directionComplaint("internal/redis/wire", "Policy", false)!, /never sees a policy/)
    assert.match(directionComplaint("Cached", "internal/redis/wire", true)!, /belongs to RedisCache/)
    assert.isUndefined(directionComplaint("Outbox", "internal/changes/delivery", false))
    assert.match(directionComplaint("Repository", "internal/changes/delivery", false)!, /belongs to Changes/)
    assert.match(directionComplaint("internal/changes/delivery", "MemoryCache", false)!, /may not look up/)
  })

  it("find clocks, timers and dice, and leave words alone", () => {
    const text = `
      // Date.now() in a comment
      const text = "Math.random()"
      const given = { setTimeout: 1, now: new Date(0) }
      const tokens = crypto.getRandomValues(new Uint8Array(8))
      const now = Date.now() + performance.now() + globalThis.Math.random() + +new Date()
      setTimeout(() => given.setTimeout, 10)
    `
    assert.deepStrictEqual(
      ambientUses(readModule("Example", text)).map(({ what }) => what),
      ["Date.now", "performance.now", "Math.random", "new Date()", "setTimeout"]
    )
  })
})
