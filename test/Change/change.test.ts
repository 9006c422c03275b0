import { Option, Schema } from "effect"
import fc from "fast-check"
import { assert, describe, test } from "vitest"
import * as Change from "../../src/Change.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Entity from "../../src/Entity.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import * as Plan from "../../src/internal/plan.ts"
import * as Policy from "../../src/Policy.ts"
import { holds, planOf } from "../support/policies.ts"

const Article = Schema.Struct({
  id: Schema.Int,
  title: Schema.String,
  views: Schema.Int,
  category: Schema.NullOr(Schema.Int),
  labels: Schema.Array(Schema.String)
})

const Articles = Entity.make("article", {
  schema: Article,
  id: "id",
  partitions: ["category", "labels"],
  relations: ["tags"]
})

const Tags = Entity.make("tag", { schema: Schema.Struct({ id: Schema.Int }), id: "id", relations: ["articles"] })

type Row = typeof Article.Type

const article: Row = { id: 42, title: "On caching", views: 7, category: 3, labels: ["new", "long"] }

const touched = (change: Change.Change): Array<string> => Change.dependencies(change).map(Dependency.format).sort()

const updated = (changes: Partial<Row>, before: Row = article): Array<string> =>
  touched(Articles.updated(before, { ...before, ...changes }))

describe("What a change touches", () => {
  test("created and deleted: the row, its existence, the type's membership, and that of its partitions", () => {
    const expected = [
      "article!members",
      "article:42",
      "article:42!exists",
      "article?category=3!members",
      "article?labels=long!members",
      "article?labels=new!members"
    ]
    assert.deepStrictEqual(touched(Articles.created(article)), expected)
    assert.deepStrictEqual(touched(Articles.deleted(article)), expected)
  })

  test("updated: the row, its field, the type's field, and the field within each partition", () =>
    assert.deepStrictEqual(updated({ title: "On caches" }), [
      "article#title",
      "article:42",
      "article:42#title",
      "article?category=3#title",
      "article?labels=long#title",
      "article?labels=new#title"
    ]))

  test("updated: only the fields that differ", () => {
    const both = updated({ title: "On caches", views: 8 })
    assert.includeMembers(both, ["article:42#title", "article:42#views"])
    assert.notInclude(both.join(), "category=3#labels")
    assert.notInclude(updated({ views: 8 }).join(), "title")
  })

  test("updated, a partition differs: also the membership of the old and the new one", () => {
    const dependencies = updated({ category: 4 })
    assert.deepStrictEqual(dependencies, [
      "article#category",
      "article:42",
      "article:42#category",
      "article?category=3!members",
      "article?category=3#category",
      "article?category=4!members",
      "article?category=4#category",
      "article?labels=long#category",
      "article?labels=new#category"
    ])
  })

  test("updated, a field and the partition differ: the field within the old and the new one", () =>
    assert.includeMembers(updated({ category: 4, title: "x" }), [
      "article?category=3#title",
      "article?category=4#title",
      "article?category=3!members",
      "article?category=4!members"
    ]))

  test("updated, a list of partitions differs: the membership of those that the row left or entered", () => {
    const members = updated({ labels: ["long", "old"] }).filter((name) => name.endsWith("!members"))
    assert.deepStrictEqual(members, ["article?labels=new!members", "article?labels=old!members"])
    // The order of a list is no membership, but it is a difference.
    assert.notInclude(updated({ labels: ["long", "new"] }).join(), "!members")
    assert.include(updated({ labels: ["long", "new"] }), "article:42#labels")
  })

  test("a partition that is null is a partition too, and an empty list is none", () => {
    assert.includeMembers(updated({ category: null }), ["article?category=3!members", "article?category=null!members"])
    assert.deepStrictEqual(
      touched(Articles.created({ ...article, labels: [] })).filter((name) => name.includes("labels")),
      []
    )
  })

  test("the partition 3 is not the partition \"3\"", () =>
    assert.notInclude(
      Change.dependencies(Articles.created(article)),
      Dependencies.partitionMembers("article", "category", "3")
    ))

  test("related: the relation on both sides, and the rows", () => {
    for (const kind of ["added", "removed"] as const) {
      assert.deepStrictEqual(touched(Change.related(kind, Articles.end(42, "tags"), Tags.end(7, "articles"))), [
        "article#tags",
        "article:42",
        "article:42#tags",
        "tag#articles",
        "tag:7",
        "tag:7#articles"
      ])
    }
  })

  test("replaced: exactly what was related and is not, and what is related and was not, once each", () => {
    const ids = fc.array(fc.constantFrom<Dependency.Id>(1, 2, 3, "3", null), { maxLength: 6 })
    const ends = (all: ReadonlyArray<Dependency.Id>) => all.map((id) => Labels.end(id, "articles"))
    const Labels = Entity.make("label", {
      schema: Schema.Struct({ id: Schema.Union([Schema.Int, Schema.String, Schema.Null]) }),
      id: "id",
      relations: ["articles"]
    })
    holds(
      1000,
      fc.property(ids, ids, (before, after) => {
        const changes = Change.replaced(Articles.end(42, "tags"), { before: ends(before), after: ends(after) })
        const related = (kind: string) =>
          changes.flatMap((change) => change._tag === "Related" && change.kind === kind ? [change.ends[1].id] : [])
        assert.deepStrictEqual(related("removed"), [...new Set(before)].filter((id) => !after.includes(id)))
        assert.deepStrictEqual(related("added"), [...new Set(after)].filter((id) => !before.includes(id)))
        assert.strictEqual(changes.length, related("removed").length + related("added").length)
      })
    )
  })

  test("where nothing differs nothing is touched", () => {
    assert.deepStrictEqual(updated({}), [])
    assert.deepStrictEqual(updated({ labels: [...article.labels] }), [])
    assert.deepStrictEqual(touched(Articles.updated(article, article)), [])
  })

  const row: fc.Arbitrary<Row> = fc.record({
    id: fc.constant(42),
    title: fc.constantFrom("a", "b"),
    views: fc.nat(2),
    category: fc.constantFrom(null, 0, 1),
    labels: fc.array(fc.constantFrom("x", "y", "z"), { maxLength: 3 })
  })
  const change = fc.oneof(
    row.map(Articles.created),
    row.map(Articles.deleted),
    fc.tuple(row, row).map(([before, after]) => Articles.updated(before, after)),
    fc.constant(Change.related("added", Articles.end(42, "tags"), Articles.end(42, "tags")))
  )

  test("nothing is named twice", () =>
    holds(
      1000,
      fc.property(change, (change) => {
        const all = Change.dependencies(change)
        assert.strictEqual(new Set(all).size, all.length)
      })
    ))

  test("undoing an update touches what the update touched", () =>
    holds(
      1000,
      fc.property(row, row, (before, after) =>
        assert.deepStrictEqual(touched(Articles.updated(before, after)), touched(Articles.updated(after, before))))
    ))

  // The promise itself: what a reader would see differently was named by the reader's policy.
  const names = (policy: Policy.Any, key: unknown) => Plan.knownDependencies(planOf(policy), key)
  const meets = (policy: Policy.Any, key: unknown, change: Change.Change): boolean => {
    const dependencies = new Set(names(policy, key))
    return Change.dependencies(change).some((name) => dependencies.has(name))
  }

  test("a title of a row, of a category or of all is invalidated exactly when it changed there", () =>
    holds(
      2000,
      fc.property(row, row, fc.constantFrom(null, 0, 1), (before, after, category) => {
        const update = Articles.updated(before, after)
        const titleChanged = before.title !== after.title
        assert.strictEqual(meets(Policy.conditional(Articles, { fields: ["title"] }), 42, update), titleChanged)
        assert.isFalse(meets(Policy.conditional(Articles, { fields: ["title"] }), 43, update))
        assert.strictEqual(
          meets(Policy.conditionalAll(Articles, { fields: ["title"] }), undefined, update),
          titleChanged
        )
        const titles = (of: Row) => of.category === category ? [of.title] : []
        assert.strictEqual(
          meets(Policy.conditionalIn(Articles, "category", { fields: ["title"] }), category, update),
          JSON.stringify(titles(before)) !== JSON.stringify(titles(after))
        )
      })
    ))

  test("the members of a partition are invalidated exactly when they changed", () =>
    holds(
      1000,
      fc.property(row, row, fc.constantFrom("x", "y", "z"), (before, after, label) =>
        assert.strictEqual(
          meets(Policy.conditionalIn(Articles, "labels", { fields: [] }), label, Articles.updated(before, after)),
          before.labels.includes(label) !== after.labels.includes(label)
        ))
    ))

  test("a cached \"not found\", whatever its fields, ends when the row appears", () => {
    for (const fields of [undefined, [], ["title"]] as const) {
      assert.isTrue(meets(Policy.conditional(Articles, { fields }), 42, Articles.created(article)))
      assert.isTrue(meets(Policy.conditional(Articles, { fields }), 42, Articles.deleted(article)))
      assert.isTrue(meets(Policy.conditionalAll(Articles, { fields }), "any", Articles.created(article)))
      assert.isTrue(meets(Policy.conditionalIn(Articles, "category", { fields }), 3, Articles.deleted(article)))
      assert.isFalse(meets(Policy.conditionalIn(Articles, "category", { fields }), 4, Articles.deleted(article)))
    }
  })

  test("without fields any field counts, and a relation counts for the row and for all", () => {
    const related = Change.related("added", Articles.end(42, "tags"), Tags.end(7, "articles"))
    assert.isTrue(meets(Policy.conditional(Articles), 42, related))
    assert.isTrue(meets(Policy.conditional(Articles, { fields: ["tags"] }), 42, related))
    assert.isTrue(meets(Policy.conditional(Tags, { fields: ["articles"] }), 7, related))
    assert.isTrue(meets(Policy.conditionalAll(Articles), undefined, related))
    assert.isFalse(meets(Policy.conditional(Articles, { fields: ["title"] }), 42, related))
    // "Popular tags" counts the articles of every tag.
    assert.isTrue(meets(Policy.conditionalAll(Tags, { fields: ["articles"] }), undefined, related))
    assert.isTrue(meets(Policy.conditionalAll(Articles, { fields: ["tags"] }), undefined, related))
    assert.isFalse(meets(Policy.conditionalAll(Articles, { fields: ["title"] }), undefined, related))
    assert.isFalse(meets(Policy.conditional(Tags, { fields: ["articles"] }), 8, related))
    const viewed = Articles.updated(article, { ...article, views: 8 })
    assert.isTrue(meets(Policy.conditional(Articles), 42, viewed))
    assert.isTrue(meets(Policy.conditionalIn(Articles, "category"), 3, viewed))
    assert.isTrue(meets(Policy.conditionalAll(Articles), undefined, viewed))
    assert.isFalse(meets(Policy.conditionalIn(Articles, "category", { fields: [] }), 3, viewed))
  })
})

test("a change is as it was made, whatever becomes of the rows", () => {
  const before = { ...article, labels: ["new"] }
  const after = { ...article, labels: ["old"] }
  const change = Articles.updated(before, after)
  const expected = touched(change)
  before.labels.push("x")
  after.labels.length = 0
  assert.deepStrictEqual(touched(change), expected)
})

test("changes print what happened", () => {
  assert.strictEqual(Change.format(Articles.created(article)), "article:42 created")
  assert.strictEqual(Change.format(Articles.deleted(article)), "article:42 deleted")
  assert.strictEqual(
    Change.format(Articles.updated(article, { ...article, title: "x", views: 0 })),
    "article:42 updated (title, views)"
  )
  assert.strictEqual(Change.format(Articles.updated(article, article)), "article:42 updated (nothing)")
  assert.strictEqual(
    Change.format(Change.related("removed", Articles.end(42, "tags"), Tags.end(7, "articles"))),
    "article:42 removed tags tag:7"
  )
})

test("the rows of an entity that changes are about, each once", () => {
  const changes = [
    Articles.created(article),
    Articles.updated(article, { ...article, title: "Off caching" }),
    Articles.deleted({ ...article, id: 43 }),
    Change.related("added", Articles.end(44, "tags"), Tags.end(7, "articles"))
  ]
  assert.deepStrictEqual([...Change.idsOf(changes, Articles)], [42, 43, 44])
  assert.deepStrictEqual([...Change.idsOf(changes, Tags)], [7])
})

test("changes go to text and back, with ids of every type, and what is none is refused", () => {
  for (const id of [7, "7", 7n, true, null, -0.5, ""] as const) {
    const row: Change.Row = { entity: "a b", id, partitions: [["genre", id], ["genre", "x"]] }
    const end = { entity: "a", id, relation: "b" }
    const all: ReadonlyArray<Change.Change> = [
      { _tag: "Created", row },
      { _tag: "Deleted", row },
      { _tag: "Updated", before: row, after: row, fields: ["title"] },
      Change.related("removed", end, end)
    ]
    for (const change of all) {
      const text = Schema.encodeSync(Change.FromString)(change)
      assert.deepStrictEqual(Schema.decodeSync(Change.FromString)(text), change)
    }
  }
  for (const text of ["", "garbage", "{}", "{\"_tag\":\"Created\"}", "[]"]) {
    assert.isTrue(Option.isNone(Schema.decodeOption(Change.FromString)(text)), text)
  }
})
