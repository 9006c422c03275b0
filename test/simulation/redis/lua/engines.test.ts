/** The scripts as JavaScript, and what the translator makes of Lua compared with what Lua makes of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Scripts from "../../../../src/internal/redis/scripts.ts"
import { Failure, type Reply } from "../reply.ts"
import { compile, type Host } from "./engine.ts"
import { fragments, refused } from "./fragments.ts"
import { startWasm } from "./wasm.ts"

/** Answers as a server that knows two commands, and what it was asked for. */
const host = (): Host & { readonly asked: Array<ReadonlyArray<string>> } => {
  const asked: Array<ReadonlyArray<string>> = []
  return {
    asked,
    run: (name, args) => {
      asked.push([name, ...args])
      if (name === "TIME") return ["1800000000", "123456"]
      return name === "ECHO" ? args[0] ?? null : new Failure(`ERR no command ${name}`)
    }
  }
}

/** What an error of Lua says differs: the translator knows no names of variables. */
const told = (reply: Reply): unknown =>
  reply instanceof Failure && reply.err.includes("user_script") ? "an error of Lua" : reply

const wasm = await startWasm()

describe("the translator", () => {
  it("knows all scripts", () => {
    for (const { source } of Scripts.all) compile(source)
  })

  it("translates a script once", () => {
    assert.strictEqual(compile("return 1"), compile("return 1"))
  })

  it.each(fragments.map((source) => [source]))("does as Lua: %s", (source) => {
    const mine = host()
    const theirs = host()
    const reply = compile(source).run(mine, ["key\0\xff"], ["\xe9\n"])
    assert.deepStrictEqual(told(reply), told(wasm(source).run(theirs, ["key\0\xff"], ["\xe9\n"])))
    assert.deepStrictEqual(mine.asked, theirs.asked)
  })

  it.each(refused.map((source) => [source]))("refuses %s", (source) => {
    assert.throws(() => compile(source), /^not translated: |^\[\d+:\d+\]/)
  })

  it("sends numbers with all their digits", () => {
    for (const value of ["0.1", "2^53", "1e100", "-0", "1e17", "123456.789", "1/0", "5e-324", "'7' + 1"]) {
      const [mine, theirs] = [host(), host()]
      const source = `return redis.call('ECHO', ${value})`
      compile(source).run(mine, [], [])
      wasm(source).run(theirs, [], [])
      assert.deepStrictEqual(mine.asked, theirs.asked)
    }
  })
})
