import { assert, describe, it } from "@effect/vitest"
import { Equal, Hash, Option, Schema } from "effect"
import fc from "fast-check"
import { inspect } from "node:util"
import * as Change from "../../src/Change.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Entity from "../../src/Entity.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import { InvalidInput } from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"

const { combine, combineAll, covers, empty, soft } = Invalidation

const encode = Schema.encodeSync(Invalidation.FromString)
const decode = Schema.decodeOption(Invalidation.FromString)

// Few of each, so that two batches often name the same.
const parts = ["a", "b", "*", "é"]
const storedKeys = parts.flatMap((
  first
) => [`films:${Key.encode(Key.string("p"), first)}:1`, `films:${Key.encode(Key.string("p"), first)}:2`])
const names = ["x", "y", "genre:drama"].map(Dependency.tag)
const patterns: ReadonlyArray<Key.Pattern> = [
  { name: "films", parts: [undefined, undefined] },
  { name: "films", parts: ["a", undefined] },
  { name: "films", parts: [undefined, "1"] },
  { name: "films", parts: ["a", "1"] },
  { name: "film", parts: [] }
]

const one: fc.Arbitrary<Invalidation.Invalidation> = fc.oneof(
  fc.subarray(storedKeys).map((keys) => Invalidation.keys(keys)),
  fc.subarray(names).map((all) => Invalidation.dependencies(all)),
  fc.constantFrom(...patterns).map(Invalidation.pattern),
  fc.constant(Invalidation.everything)
)

const inAMode = fc.tuple(one, fc.boolean()).map(([batch, softly]) => softly ? soft(batch) : batch)

const batches = fc.array(inAMode, { maxLength: 4 }).map(combineAll)

const holds = <T>(arbitrary: fc.Arbitrary<T>, predicate: (value: T) => void): void =>
  fc.assert(fc.property(arbitrary, predicate), { numRuns: 500, seed: 1 })

const same = (a: Invalidation.Invalidation, b: Invalidation.Invalidation): void => {
  assert.isTrue(Equal.equals(a, b), `${a}\nis not\n${b}`)
  assert.strictEqual(Hash.hash(a), Hash.hash(b))
  assert.strictEqual(String(a), String(b))
}

describe("combine makes invalidations a monoid", () => {
  it("it is associative", () =>
    holds(
      fc.tuple(batches, batches, batches),
      ([a, b, c]) => same(combine(combine(a, b), c), combine(a, combine(b, c)))
    ))

  it("it is commutative", () => holds(fc.tuple(batches, batches), ([a, b]) => same(combine(a, b), combine(b, a))))

  it("it is idempotent", () => holds(batches, (a) => same(combine(a, a), a)))

  it("empty is its unit", () =>
    holds(batches, (a) => {
      same(combine(a, empty), a)
      same(combine(empty, a), a)
    }))

  // What copied the batch for each of them would take half a minute.
  it("combineAll takes many at once", { timeout: 5000 }, () => {
    const ones = Array.from({ length: 20_000 }, (_, i) => Invalidation.keys(`film:${i}`))
    const all = combineAll(ones)
    assert.strictEqual(all.keys.size, 20_000)
    same(Option.getOrThrow(decode(encode(all))), all)
  })

  it("combineAll is combine of any number, and nothing of none", () => {
    holds(
      fc.array(batches, { maxLength: 5 }),
      (all) => same(combineAll(all), all.reduce((a, b) => combine(a, b), empty))
    )
    same(combineAll([]), empty)
    same(combineAll(new Set([Invalidation.tags("x")])), Invalidation.tags("x"))
  })

  it("it is called with the value first or last", () =>
    holds(fc.tuple(batches, batches), ([a, b]) => same(a.pipe(combine(b)), combine(a, b))))

  it("it changes neither of the two", () =>
    holds(fc.tuple(batches, batches), ([a, b]) => {
      const before = [String(a), String(b)]
      combine(a, b)
      assert.deepStrictEqual([String(a), String(b)], before)
    }))
})

describe("modes", () => {
  const modeOf = (batch: Invalidation.Invalidation) => [...batch.dependencies.values(), ...batch.keys.values()]

  it("hard wins, whichever comes first", () => {
    const all = [
      Invalidation.tags("x"),
      Invalidation.keys("k"),
      Invalidation.pattern(patterns[0]!),
      Invalidation.everything
    ]
    for (const hard of all) {
      same(combine(hard, soft(hard)), hard)
      same(combine(soft(hard), hard), hard)
      same(combine(soft(hard), soft(hard)), soft(hard))
    }
  })

  it("one target's mode is not another's", () => {
    const batch = combine(Invalidation.tags("x"), soft(Invalidation.tags("y")))
    assert.deepStrictEqual(modeOf(batch), ["hard", "soft"])
    assert.strictEqual(String(batch), "tag x, tag y (soft)")
  })

  it("soft is soft throughout, and twice is once", () =>
    holds(batches, (a) => {
      assert.isFalse(modeOf(soft(a)).includes("hard"))
      assert.isFalse([...soft(a).patterns.values()].some(({ mode }) => mode === "hard"))
      assert.notStrictEqual(soft(a).everything, "hard")
      same(soft(soft(a)), soft(a))
    }))

  it("soft distributes over combine", () =>
    holds(fc.tuple(batches, batches), ([a, b]) => same(soft(combine(a, b)), combine(soft(a), soft(b)))))

  it("a soft batch is another than the hard one, unless it is empty", () =>
    holds(batches, (a) => {
      const allSoft = String(a) === String(soft(a))
      assert.strictEqual(Equal.equals(a, soft(a)), allSoft)
    }))

  it("a mode is given to all targets", () =>
    holds(batches, (a) => {
      const hard = Invalidation.withMode(a, "hard")
      assert.isFalse(modeOf(hard).includes("soft"))
      same(Invalidation.withMode(a, "soft"), soft(a))
      same(combine(a, hard), hard)
    }))
})

describe("covers", () => {
  it("a batch covers what either of two covers", () =>
    holds(
      fc.tuple(batches, batches, fc.constantFrom(...storedKeys), fc.subarray(names)),
      ([a, b, key, all]) =>
        assert.strictEqual(covers(combine(a, b), key, all), covers(a, key, all) || covers(b, key, all))
    ))

  it("what it covers does not depend on the mode", () =>
    holds(
      fc.tuple(batches, fc.constantFrom(...storedKeys), fc.subarray(names)),
      ([a, key, all]) => assert.strictEqual(covers(soft(a), key, all), covers(a, key, all))
    ))

  it("nothing covers nothing, and everything everything", () =>
    holds(fc.tuple(fc.constantFrom(...storedKeys), fc.subarray(names)), ([key, all]) => {
      assert.isFalse(covers(empty, key, all))
      assert.isTrue(covers(Invalidation.everything, key, all))
      assert.isTrue(covers(soft(Invalidation.everything), key, all))
    }))

  it("keys cover themselves alone", () => {
    const batch = Invalidation.keys("films:a:1")
    assert.isTrue(covers(batch, "films:a:1", []))
    for (const other of ["films:a", "films:a:1:1", "films:a:11", "films:A:1", "film:a:1", ""]) {
      assert.isFalse(covers(batch, other, names), other)
    }
  })

  it("dependencies cover whatever has one of them", () => {
    const batch = Invalidation.tags(["x", "y"])
    assert.isTrue(covers(batch, "any", [Dependency.tag("z"), Dependency.tag("y")]))
    assert.isFalse(covers(batch, "any", [Dependency.tag("z")]))
    assert.isFalse(covers(batch, "tag/x", []))
  })

  it("patterns cover the keys that have the parts they fix, and only those", () => {
    const genre = Invalidation.pattern({ name: "films", parts: ["a", undefined] })
    const page = Invalidation.pattern({ name: "films", parts: [undefined, "1"] })
    assert.deepStrictEqual(["films:a:1", "films:a:2", "films:b:1"].map((key) => covers(genre, key, [])), [
      true,
      true,
      false
    ])
    assert.deepStrictEqual(["films:a:1", "films:a:2", "films:b:1"].map((key) => covers(page, key, [])), [
      true,
      false,
      true
    ])
    for (const other of ["films", "films:a", "films:a:1:1", "film:a:1", "filmss:a:1", "films:a%3A:1", "films:%2A:1"]) {
      assert.isFalse(covers(genre, other, []), other)
    }
  })

  it("a star in a key is a star, and no pattern", () => {
    const star = Key.encode(Key.string("p"), "*")
    const batch = Invalidation.pattern({ name: "films", parts: [star, undefined] })
    assert.isTrue(covers(batch, `films:${star}:1`, []))
    assert.isFalse(covers(batch, "films:a:1", []))
  })
})

describe("constructors", () => {
  it("nothing is empty, and only that", () => {
    assert.isTrue(Invalidation.isEmpty(empty))
    assert.isTrue(Invalidation.isEmpty(Invalidation.keys([])))
    assert.isTrue(Invalidation.isEmpty(Invalidation.tags([])))
    assert.isTrue(Invalidation.isEmpty(Invalidation.changes([])))
    const all = [
      Invalidation.keys("k"),
      Invalidation.tags("x"),
      Invalidation.pattern(patterns[0]!),
      Invalidation.everything
    ]
    for (const batch of all) {
      assert.isFalse(Invalidation.isEmpty(batch))
      assert.isFalse(Invalidation.isEmpty(soft(batch)))
    }
  })

  it("one and one of a list are the same, and a string is one", () => {
    const change = { _tag: "Created", row: { entity: "film", id: 1, partitions: [] } } as const
    same(Invalidation.tags("genre"), Invalidation.tags(["genre"]))
    same(Invalidation.keys("film"), Invalidation.keys(["film"]))
    same(Invalidation.dependencies(names[2]!), Invalidation.dependencies([names[2]!]))
    same(Invalidation.changes(change), Invalidation.changes([change]))
    assert.strictEqual(String(Invalidation.tags("genre")), "tag genre")
    assert.strictEqual(String(Invalidation.keys("film")), "key film")
  })

  it("any iterable will do, and is gone through once", () => {
    function* generated() {
      yield "x"
      yield "y"
    }
    same(Invalidation.tags(generated()), Invalidation.tags(["x", "y"]))
    same(Invalidation.keys(new Set(["a", "b"]).values()), Invalidation.keys(["a", "b"]))
    same(Invalidation.dependencies(new Map([[names[0]!, 1]]).keys()), Invalidation.dependencies(names[0]!))
  })

  it("lists may be longer than a function takes arguments", () => {
    const tags = Array.from({ length: 150_000 }, (_, i) => `t${i}`)
    const change = { _tag: "Created", row: { entity: "film", id: 1, partitions: [] } } as const
    assert.strictEqual(Invalidation.tags(tags).dependencies.size, 150_000)
    assert.strictEqual(Invalidation.keys(tags).keys.size, 150_000)
    const created = tags.map((id) => ({ ...change, row: { ...change.row, id } }))
    // The row and its existence, of each; and which rows there are.
    assert.strictEqual(Invalidation.changes(created).dependencies.size, 300_001)
  })

  it("an empty tag is refused", () => {
    let thrown: unknown
    try {
      Invalidation.tags(["x", ""])
    } catch (error) {
      thrown = error
    }
    assert.isTrue(thrown instanceof InvalidInput && thrown.reason === "EmptyTag")
  })

  it("changes touch what they say they touch", () => {
    const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, genre: Schema.String })
    const films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
    const before = { id: 1, title: "M", genre: "drama" }
    const changes = [
      films.created(before),
      films.updated(before, { ...before, title: "N" }),
      films.deleted({ ...before, id: 2 })
    ]
    same(Invalidation.changes(changes), Invalidation.dependencies(changes.flatMap(Change.dependencies)))
    same(Invalidation.changes(changes), combineAll(changes.map((change) => Invalidation.changes(change))))
    assert.isTrue(covers(Invalidation.changes(changes[1]!), "any", [Dependencies.rowField("film", 1, "title")]))
    assert.isFalse(covers(Invalidation.changes(changes[1]!), "any", [Dependencies.rowField("film", 1, "genre")]))
  })

  it("what is named twice is named once", () => {
    same(Invalidation.keys(["a", "b", "a"]), Invalidation.keys(["b", "a"]))
    same(Invalidation.tags(["x", "x"]), Invalidation.tags("x"))
    same(
      combine(Invalidation.pattern(patterns[1]!), Invalidation.pattern({ ...patterns[1]! })),
      Invalidation.pattern(patterns[1]!)
    )
  })

  it("are distinguished from other values", () => {
    for (const other of [undefined, null, {}, "tag x", new Map(), []]) {
      assert.isFalse(Equal.equals(empty, other))
    }
  })
})

describe("printing", () => {
  const batch = combineAll([
    soft(Invalidation.tags("genre:noir")),
    Invalidation.tags("genre:drama"),
    Invalidation.keys(["film:42", "films:film%20noir:2"]),
    Invalidation.pattern({ name: "films", parts: ["film%20noir", undefined] }),
    soft(Invalidation.pattern({ name: "films", parts: [undefined, "1"] })),
    Invalidation.dependencies(Dependencies.rowField("film", 42, "title"))
  ])

  it("says what is meant and how, in an order of its own", () => {
    assert.strictEqual(
      String(batch),
      "film:42#title, key film:42, key films:film noir:2, keys films:*:1 (soft), keys films:film noir:*, " +
        "tag genre:drama, tag genre:noir (soft)"
    )
    assert.strictEqual(String(empty), "nothing")
    assert.strictEqual(String(Invalidation.everything), "everything")
    assert.strictEqual(String(soft(Invalidation.everything)), "everything (soft)")
  })

  it("names a hundred of each kind, and says how many more there are", () => {
    const of = (count: number) => Invalidation.tags(Array.from({ length: count }, (_, i) => `t${1000 + i}`))
    assert.strictEqual(String(of(100)).split(", ").length, 100)
    assert.match(String(of(102)), /^tag t1000, .*, tag t1099, and 2 more$/)
    assert.match(
      String(Invalidation.combine(of(60_000), Invalidation.keys("film:1"))),
      /^key film:1, tag t1000, .*, and 59900 more$/
    )
    assert.isBelow(String(of(100_000)).length, 2000)
  })

  it("is the same in JSON and on a console", () => {
    assert.deepStrictEqual(JSON.parse(JSON.stringify(batch)), { _id: "Invalidation", invalidation: String(batch) })
    assert.strictEqual(inspect(Invalidation.tags("x")), "Invalidation(tag x)")
  })

  it("tells different batches apart", () =>
    holds(fc.tuple(batches, batches), ([a, b]) => {
      if (!Equal.equals(a, b)) assert.notStrictEqual(String(a), String(b))
    }))
})

describe("an invalidation as text", () => {
  it("reads back as it was", () => holds(batches, (a) => same(Option.getOrThrow(decode(encode(a))), a)))

  it("is as hard as the hardest of what it has twice", () => {
    const text = (modes: ReadonlyArray<string>) =>
      JSON.stringify({ k: modes.map((mode) => ["film:1", mode]), d: [], p: [], e: "" })
    for (const modes of [["h", "s"], ["s", "h"], ["x"]]) {
      same(Option.getOrThrow(decode(text(modes))), Invalidation.keys("film:1"))
    }
    same(Option.getOrThrow(decode(text(["s", "s"]))), soft(Invalidation.keys("film:1")))
  })

  it("is none unless all of it is understood", () => {
    const text = (parts: object) => JSON.stringify({ k: [["film:1", "h"]], d: [], p: [], e: "", ...parts })
    same(Option.getOrThrow(decode(text({}))), Invalidation.keys("film:1"))
    for (const parts of [{ e: "x" }, { e: null }, { e: undefined }, { k: {} }, { d: [[1, "h"]] }, { p: [["a"]] }]) {
      assert.isTrue(Option.isNone(decode(text(parts))), text(parts))
    }
  })
})
