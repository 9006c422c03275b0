import * as fc from "fast-check"
import { assert, test } from "vitest"
import { Failure, Status } from "../redis/reply.ts"
import { CommandReader, encode } from "./resp.ts"

test("answers as RESP2 has them", () => {
  const reply = ["a\r\n\xff", 7, null, new Status("OK"), new Failure("ERR no"), ["message", ""]]
  const nested = "*2\r\n$7\r\nmessage\r\n$0\r\n\r\n"
  assert.strictEqual(encode(reply, 2), `*6\r\n$4\r\na\r\n\xff\r\n:7\r\n$-1\r\n+OK\r\n-ERR no\r\n${nested}`)
  assert.strictEqual(encode(["message", ""], 2, "push"), nested)
  assert.strictEqual(encode("role:master", 2, "verbatim"), "$11\r\nrole:master\r\n")
})

test("what RESP3 has besides", () => {
  assert.strictEqual(encode([null, "a"], 3), "*2\r\n_\r\n$1\r\na\r\n")
  assert.strictEqual(encode(["message", "c"], 3, "push"), ">2\r\n$7\r\nmessage\r\n$1\r\nc\r\n")
  assert.strictEqual(encode(["proto", 3], 3, "map"), "%1\r\n$5\r\nproto\r\n:3\r\n")
  assert.strictEqual(encode("role:master", 3, "verbatim"), "=15\r\ntxt:role:master\r\n")
})

test("commands are read however they are cut into pieces", () => {
  const argument = fc.string({ unit: fc.constantFrom("a", "\r", "\n", "*", "$", "1", "\xff"), maxLength: 6 })
  const commands = fc.array(fc.array(argument, { minLength: 1, maxLength: 4 }), { maxLength: 4 })
  fc.assert(fc.property(commands, fc.array(fc.nat(80), { maxLength: 6 }), (all, cuts) => {
    const text = all.map((command) => encode(command, 2)).join("")
    const places = [...new Set([0, text.length, ...cuts.filter((at) => at < text.length)])].sort((a, b) => a - b)
    const reader = new CommandReader()
    const read = places.slice(1).flatMap((end, i) => reader.read(text.slice(places[i], end)))
    assert.deepStrictEqual(read, all)
  }))
})
