/** The port of a client of Redis: which file knows the package behind it, what error replies say, and what a cluster's nodes say of themselves. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { whyNotLoaded } from "../../src/internal/redis/ioredis.ts"
import { claimOf, coverAll, everySlot, tagIn } from "../../src/internal/redis/slots.ts"
import { isReadOnly, isRefusal, wordsOf } from "../../src/internal/redis/words.ts"
import { packageOf, readModules, root, target } from "../support/modules.ts"

const adapter = "internal/redis/ioredis"

describe("the package", () => {
  const modules = readModules(path.join(root, "src"))

  it("is imported by one file, when a layer is built", () => {
    const importers = modules.filter(({ imports }) => imports.some((one) => packageOf(one) === "ioredis"))
    assert.deepStrictEqual(importers.map(({ name }) => name), [adapter])
    const text = fs.readFileSync(path.join(root, `src/${adapter}.ts`), "utf8")
    assert.notMatch(text, /^import .* "ioredis"/m)
  })

  it("is mentioned nowhere else in the folder, and the file that knows it is used by RedisCache alone", () => {
    const others = fs.readdirSync(path.join(root, "src/internal/redis")).filter((file) => file !== "ioredis.ts")
    assert.isAbove(others.length, 10)
    const mentioning = others.filter((file) =>
      /ioredis/i.test(fs.readFileSync(path.join(root, "src/internal/redis", file), "utf8"))
    )
    assert.deepStrictEqual(mentioning, [])
    const users = modules.filter((module) => module.imports.some((one) => target(module, one) === adapter))
    assert.deepStrictEqual(users.map(({ name }) => name), ["RedisCache"])
  })

  it("is asked for if it is missing, and if it cannot be run it is said why", async () => {
    const missing = await import("ioredis-that-is-not-there" as string).catch((cause: unknown) => cause)
    const { message } = missing as Error
    const renamed = Object.assign(new Error(message.replaceAll("-that-is-not-there", "")), {
      code: "ERR_MODULE_NOT_FOUND"
    })
    assert.match(whyNotLoaded(renamed), /npm install ioredis/)
    const within = Object.assign(
      new Error("Cannot find module 'denque'\nRequire stack:\n- /x/ioredis/built/index.js"),
      {
        code: "MODULE_NOT_FOUND"
      }
    )
    for (const cause of [within, new Error("Dynamic require of \"events\" is not supported")]) {
      assert.notMatch(whyNotLoaded(cause), /npm install/)
      assert.include(whyNotLoaded(cause), cause.message)
    }
  })
})

describe("an error reply", () => {
  const sha = "0123456789abcdef0123456789abcdef01234567"
  const by6 = (words: string) =>
    `ERR Error running script (call to f_${sha}): @user_script:12: @user_script: 12: -${words} `
  const by7 = (words: string) => `${words} script: ${sha}, on @user_script:12.`
  const plain = (words: string) => words
  const back = (words: string) => `@user_script: 40: -${words}  `

  it("says the same in each version", () => {
    const readOnly = "READONLY You can't write against a read only replica."
    for (const by of [plain, by6, by7, back]) {
      assert.strictEqual(wordsOf(by(readOnly)).slice(0, readOnly.length), readOnly)
      assert.isTrue(isReadOnly(by(readOnly)), by(readOnly))
      assert.isFalse(isReadOnly(by(`ERR ${readOnly}`)))
      for (
        const words of [
          readOnly,
          "OOM command not allowed when used memory > 'maxmemory'.",
          "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
          "NOREPLICAS Not enough good replicas to write."
        ]
      ) assert.isTrue(isRefusal(by(words)), by(words))
    }
  })

  it("is a refusal if nothing was done: a script may have done something before it was not permitted more", () => {
    for (
      const words of [
        "NOAUTH Authentication required.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
      ]
    ) {
      assert.isTrue(isRefusal(words), words)
      for (const by of [by6, by7]) assert.isFalse(isRefusal(by(words)), by(words))
    }
    for (const by of [plain, by6, by7]) {
      assert.isFalse(isRefusal(by("ERR The user executing the script can't run this command or subcommand")))
      assert.isFalse(isRefusal(by("ERR user_script:1: attempt to perform arithmetic on a nil value")))
      assert.isFalse(isRefusal(by("a text with OOM in it")))
    }
  })
})

describe("a node of a cluster", () => {
  const line = (id: string, flags: string, slots: string) =>
    `${id} 127.0.0.1:7000@17000,host ${flags} - 0 1700000000000 1 connected${slots === "" ? "" : ` ${slots}`}`
  const nodes = (...lines: ReadonlyArray<string>) => `${lines.join("\n")}\n`

  it("says which slots it has", () => {
    const all = nodes(line("a", "master", "0-5460"), line("b", "myself,master", "5461-10921 10923 16383"))
    assert.deepStrictEqual(claimOf(all), {
      id: "b",
      ranges: [[5461, 10_921], [10_923, 10_923], [16_383, 16_383]],
      moving: false
    })
    const replica = nodes(line("a", "master", "0-16383"), line("b", "myself,slave", ""))
    assert.deepStrictEqual(claimOf(replica), { id: "b", ranges: [], moving: false })
  })

  it("says that a slot comes or goes", () => {
    for (const open of ["[7->-a]", "[7-<-a]"]) {
      assert.deepStrictEqual(claimOf(nodes(line("b", "myself,master", `0-10 ${open}`))), {
        id: "b",
        ranges: [[0, 10]],
        moving: true
      })
    }
  })

  it("says nothing that is believed if it is no such answer", () => {
    for (
      const answer of [
        undefined,
        null,
        7,
        [],
        "",
        "garbage",
        nodes(line("a", "master", "0-1")),
        nodes(line("b", "myself", "x-y"))
      ]
    ) {
      assert.isUndefined(claimOf(answer), JSON.stringify(answer))
    }
  })

  it("covers with others all slots, or not", () => {
    const claim = (...ranges: ReadonlyArray<readonly [number, number]>) => ({ id: "x", ranges, moving: false })
    assert.isTrue(coverAll([everySlot]))
    assert.isTrue(coverAll([claim([8000, 16_383]), claim([0, 4000]), claim([4001, 7999])]))
    assert.isFalse(coverAll([claim([0, 4000]), claim([4002, 16_383])]))
    assert.isFalse(coverAll([claim([0, 16_382])]))
    assert.isFalse(coverAll([]))
  })

  it("has a key in its slots, if it has slots", () => {
    assert.strictEqual(tagIn([[0, 16_383]]), "0")
    // What `CLUSTER KEYSLOT 1` says.
    assert.strictEqual(tagIn([[9842, 9842]]), "1")
    assert.isUndefined(tagIn([]))
  })
})
