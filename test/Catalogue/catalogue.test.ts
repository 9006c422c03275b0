import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { draw } from "../../scripts/catalogueSvg.ts"
import * as Cached from "../../src/Cached.ts"
import * as Catalogue from "../../src/Catalogue.ts"
import * as Change from "../../src/Change.ts"
import * as Entity from "../../src/Entity.ts"
import { noWorse } from "../../src/internal/verdicts.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as Verdict from "../../src/Verdict.ts"
import * as Generated from "../support/policies.ts"

const Article = Schema.Struct({
  id: Schema.Int,
  title: Schema.String,
  body: Schema.String,
  category: Schema.Int
})
const Articles = Entity.make("article", { schema: Article, id: "id", partitions: ["category"], relations: ["tags"] })
const Authors = Entity.make("author", { schema: Schema.Struct({ id: Schema.Int, name: Schema.String }), id: "id" })

const cached = (name: string, policy: Policy.Policy<number, string>, failures?: Policy.Policy<number, string>) =>
  Cached.make(name, {
    key: Key.int("id"),
    value: Schema.String,
    lookup: (): Effect.Effect<string, string> => Effect.succeed(""),
    ...(failures === undefined ? {} : { failures: { error: Schema.String, policy: failures } })
  }, policy)

const card = cached(
  "card",
  Policy.all(
    Policy.ttl("1 day", { staleFor: "1 hour" }),
    Policy.conditional(Articles, { fields: ["title"] }),
    Policy.conditionalAll(Authors, { fields: ["name"], severity: "Stale" })
  ),
  Policy.all(Policy.ttl("10 seconds"), Policy.conditional(Articles, { fields: [] }))
)
const list = cached(
  "list",
  Policy.all(
    Policy.conditionalIn(Articles, "category", { fields: ["title"] }),
    Policy.tagged("lists"),
    Policy.until("0 3 * * *", { timeZone: "Europe/Rome" }),
    Policy.versioned(2, { name: "site" })
  )
)
const article = cached("article", Policy.all(Policy.conditional(Articles), Policy.tagged((id) => [`a${id}`])))

const entities = [Articles, Authors]
const small = Catalogue.make([card, list, article], { entities })

describe("catalogue", () => {
  it("tells what ends each value, and what each change ends", () => {
    assert.strictEqual(
      String(small),
      [
        "cached value  kept            invalidated by",
        "------------  --------------  --------------------------------------------------------",
        "card(id)      1d, stale 1d1h  the article of the key: title, coming or going",
        "              failures 10s    any author: name, membership (Stale)",
        "                              failures: the article of the key: coming or going",
        "list(id)      no limit        the articles of a category of the key: title, membership",
        "                              tag lists",
        "                              until(\"0 3 * * *\", Europe/Rome)",
        "                              another site",
        "article(id)   no limit        the article of the key: anything, coming or going",
        "                              tags of the key",
        "",
        "what changes                               what that invalidates",
        "-----------------------------------------  ---------------------",
        "article.title                              card, list, article",
        "article.category                           list, article",
        "article: any other field (id, body, tags)  article",
        "article: coming or going                   card, list, article",
        "author.name                                card (Stale)",
        "author: any other field (id)               nothing",
        "author: coming or going                    card (Stale)",
        "tag lists                                  list",
        "a tag that is computed                     article",
        "another site                               list"
      ].join("\n")
    )
  })

  it("is a table in Markdown", () => {
    assert.strictEqual(
      Catalogue.make([card]).markdown,
      [
        "| cached value | kept | invalidated by |",
        "|---|---|---|",
        "| card(id) | 1d, stale 1d1h<br>failures 10s | the article of the key: title, coming or going<br>any author: name, " +
        "membership (Stale)<br>failures: the article of the key: coming or going |",
        "",
        "| what changes | what that invalidates |",
        "|---|---|",
        "| article.title | card |",
        "| article: coming or going | card |",
        "| author.name | card (Stale) |",
        "| author: coming or going | card (Stale) |"
      ].join("\n")
    )
  })

  it("is a graph in Mermaid", () => {
    assert.strictEqual(
      Catalogue.make([card, list]).mermaid,
      [
        "flowchart LR",
        "  s0[\"article<br/>title, category\"]",
        "  s1[\"author<br/>name\"]",
        "  s2(\"tag lists\")",
        "  s3(\"site (version)\")",
        "  s4(\"until(#34;0 3 #42; #42; #42;#34;, Europe#47;Rome)\")",
        "  v0([\"card(id)\"])",
        "  v1([\"list(id)\"])",
        "  s0 -->|\"title\"| v0",
        "  s1 -.->|\"name of any (Stale)\"| v0",
        "  s0 -->|\"failures#58; existence\"| v0",
        "  s0 -->|\"title in the category\"| v1",
        "  s2 --> v1",
        "  s4 --> v1",
        "  s3 --> v1"
      ].join("\n")
    )
  })

  it("is a picture with a curve for each dependency", () => {
    const svg = draw(small)
    const titles = [...svg.matchAll(/<title>(.*?)<\/title>/g)].map(([, title]) => title)
    assert.sameMembers(titles, [
      "article: title → card(id): the article of the key: title, coming or going",
      "author: name → card(id): any author: name, membership (Stale)",
      "article: title → list(id): the articles of a category of the key: title, membership",
      "article: category → list(id): the articles of a category of the key: title, membership",
      "tags: lists → list(id): tag lists",
      "versions: site → list(id): another site",
      "article → article(id): the article of the key: anything, coming or going",
      "tags: computed from the key → article(id): tags of the key"
    ])
    assert.deepStrictEqual(
      [...svg.matchAll(/<text class="cat-(?:name|small)"[^>]*>(.*?)<\/text>/g)].map(([, text]) => text),
      ["article", "author", "tags", "versions"].concat(
        ["card(id)", "1d, stale 1d1h", "failures: 10s"],
        ["article(id)", "list(id)", "until(&quot;0 3 * * *&quot;, Europe/Rome)"]
      )
    )
    assert.notMatch(svg, /NaN|Infinity|undefined/)
  })

  it("is the same for the same definitions, and something for none", () => {
    const again = Catalogue.make([card, list, article], { entities })
    assert.strictEqual(draw(again), draw(small))
    assert.strictEqual(again.mermaid, small.mermaid)
    assert.deepStrictEqual(again.rows, small.rows)
    const none = Catalogue.make([])
    assert.deepStrictEqual([none.rows, none.changes, none.mermaid], [[], [], "flowchart LR"])
    assert.notMatch(draw(none), /NaN|Infinity|undefined/)
  })

  type Leaf = Policy.Policy<number, string>
  const row = { _tag: "Entity", entity: "article", scope: "row", partition: undefined, from: "key" }
  const leaves: ReadonlyArray<readonly [Leaf, ReadonlyArray<object>]> = [
    [Policy.forever, []],
    [Policy.never, []],
    [Policy.ttl("1 hour"), []],
    [Policy.xfetch(), []],
    [Policy.until("0 * * * *", { severity: "Stale" }), [{ _tag: "Tick", severity: "Stale" }]],
    [Policy.versioned(1), [{ _tag: "Version", name: "version", current: 1, atLeast: false }]],
    [Policy.versioned((id: number) => id, { name: "row", atLeast: true }), [
      { _tag: "Version", name: "row", current: undefined, atLeast: true }
    ]],
    [Policy.tagged([]), []],
    [Policy.tagged(["a", "b"], { severity: "OnError" }), [
      { _tag: "Tag", name: "a", from: undefined, severity: "OnError" },
      { _tag: "Tag", name: "b", from: undefined, severity: "OnError" }
    ]],
    [Policy.tagged((id: number) => [`${id}`]), [{ _tag: "Tag", name: undefined, from: "key" }]],
    [Policy.tagged({ fromValue: (text: string) => [text] }), [{ _tag: "Tag", name: undefined, from: "value" }]],
    [Policy.conditional(Articles), [{ ...row, fields: undefined }]],
    [Policy.conditional(Articles, { fields: ["title", "tags"] }), [{ ...row, fields: ["title", "tags"] }]],
    [Policy.conditional(Articles, { id: { fromValue: (text: string) => text.length }, fields: [] }), [
      { ...row, fields: [], from: "value" }
    ]],
    [Policy.conditionalIn(Articles, "category", { equals: (id: number) => id, fields: ["title"] }), [
      { ...row, scope: "partition", partition: "category", fields: ["title"] }
    ]],
    [Policy.conditionalAll(Articles, { fields: ["body"] }), [{
      ...row,
      scope: "all",
      fields: ["body"],
      from: undefined
    }]],
    // all fields of an entity that is known are any field
    [Policy.conditionalAll(Articles), [{ ...row, scope: "all", fields: undefined, from: undefined }]],
    // the relation is no field of the partition's rows
    [Policy.conditionalIn(Articles, "category"), [
      { ...row, scope: "partition", partition: "category", fields: ["id", "title", "body", "category"] }
    ]],
    [Policy.contramapKey(Policy.conditional(Articles, { fields: ["title"] }), (id: number) => id + 1), [
      { ...row, fields: ["title"] }
    ]]
  ]
  for (const [policy, causes] of leaves) {
    it(`tells the causes of ${policy}`, () => {
      const [row] = Catalogue.make([cached("value", policy)], { entities }).rows
      assert.strictEqual(row!.policy, String(policy))
      assert.strictEqual(row!.causes.length, causes.length)
      causes.forEach((cause, i) =>
        assert.deepInclude(row!.causes[i], { severity: "Dead", always: true, failure: false, ...cause })
      )
    })
  }

  const causesOf = (policy: Leaf) =>
    Catalogue.make([cached("value", policy)]).rows[0]!.causes.map(({ always, label }) => [label, always])

  it("tells what ends a value only while no alternative holds", () => {
    const [a, b, c] = [Policy.tagged("a"), Policy.tagged("b"), Policy.tagged("c")]
    const policy = Policy.and(Policy.or(a, b), c)
    assert.deepStrictEqual(causesOf(policy), [["tag a", false], ["tag b", false], ["tag c", true]])
    const catalogue = Catalogue.make([cached("value", policy)])
    assert.include(String(catalogue), "tag a (unless an alternative holds)")
    assert.include(catalogue.mermaid, "s0 -.->|\"(perhaps)\"| v0")
  })

  it("tells of each of several tags whether it ends a value whatever else holds", () => {
    const policy = Policy.or(Policy.tagged(["a", "b"]), Policy.tagged(["b", "c"]))
    assert.deepStrictEqual(causesOf(policy), [["tag a", false], ["tag b", true], ["tag c", false]])
    assert.deepStrictEqual(causesOf(Policy.or(Policy.tagged(["a", "b"]), Policy.tagged("a"))), [["tag a", true]])
  })

  it("leaves out what the normal form does without", () => {
    const [a, b] = [Policy.tagged("a"), Policy.tagged("b")]
    assert.deepStrictEqual(causesOf(Policy.or(Policy.forever, a)), [])
    assert.deepStrictEqual(causesOf(Policy.and(Policy.never, a)), [])
    assert.deepStrictEqual(causesOf(Policy.or(a, Policy.and(a, b))), [["tag a", true]])
    assert.deepStrictEqual(causesOf(Policy.and(a, Policy.and(b, a))), [["tag a", true], ["tag b", true]])
    const conflict = Policy.and(Policy.and(Policy.versioned(1), Policy.versioned(2)), a)
    assert.deepStrictEqual(causesOf(conflict), [])
    assert.deepStrictEqual(causesOf(Policy.or(Policy.and(Policy.tagged("x"), conflict), b)), [["tag b", true]])
  })

  it("tells the longest that a value is kept, of all alternatives", () => {
    const lifetime = (policy: Leaf) => Catalogue.make([cached("value", policy)]).rows[0]!.lifetime
    const ttl = (fresh: number, stale: number) => Policy.ttl<number, string>(fresh, { stale, jitter: 0.5 })
    assert.deepStrictEqual(lifetime(Policy.never), { fresh: 0, stale: 0, onError: 0 })
    assert.deepStrictEqual(lifetime(Policy.forever), { fresh: Infinity, stale: Infinity, onError: Infinity })
    assert.deepStrictEqual(lifetime(Policy.and(ttl(10, 40), ttl(20, 30))), { fresh: 10, stale: 30, onError: 30 })
    assert.deepStrictEqual(
      lifetime(Policy.or(Policy.and(ttl(10, 40), Policy.tagged("a")), ttl(20, 30))),
      { fresh: 20, stale: 40, onError: 40 }
    )
    assert.include(String(Catalogue.make([cached("value", Policy.never)])), "nothing is kept")
  })

  it("tells the severity of a tick once", () => {
    const catalogue = Catalogue.make([cached("value", Policy.until("0 * * * *", { severity: "Stale" }))])
    assert.strictEqual(String(catalogue).split("\n")[2], "value(id)     no limit  until(\"0 * * * *\"; Stale)")
  })

  it("tells of the two causes of one value the worse", () => {
    const stale = Policy.conditional(Articles, { fields: ["title", "body"], severity: "Stale" })
    const { changes } = Catalogue.make([
      cached("value", Policy.and(stale, Policy.conditional(Articles, { fields: ["title"] })))
    ])
    assert.deepStrictEqual(
      changes.map(({ invalidates, label }) => [label, invalidates[0]!.severity]),
      [["article.title", "Dead"], ["article.body", "Stale"], ["article: coming or going", "Dead"]]
    )
  })

  it("refuses names that repeat, and fields that an entity does not have", () => {
    const refused = (attempt: () => unknown) => {
      const { message, reason } = Generated.refusal(attempt)
      return [reason, message]
    }
    assert.deepStrictEqual(refused(() => Catalogue.make([card, list, cached("card", Policy.forever)])), [
      "InvalidOption",
      "Catalogue.make: two definitions are called \"card\""
    ])
    assert.deepStrictEqual(refused(() => Catalogue.make([card], { entities: [Authors, Authors] })), [
      "InvalidOption",
      "Catalogue.make: two entities are called \"author\""
    ])
    const other = Entity.make("article", { schema: Schema.Struct({ id: Schema.Int }), id: "id" })
    assert.deepStrictEqual(refused(() => Catalogue.make([card], { entities: [other] })), [
      "UnknownField",
      "Catalogue.make: \"card\" depends on \"title\", which \"article\" does not have"
    ])
  })
})

// -----------------------------------------------------------------------------
// names that try to be something else
// -----------------------------------------------------------------------------

/** The texts of an SVG as a reader of XML would find them; fails where it would. */
const textsOf = (svg: string): ReadonlyArray<string> => {
  assert.notMatch(svg, /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/u)
  const named: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'" }
  const element = /<(\/?)([a-z]+)((?:\s[\w:-]+="[^"<&]*")*)\s*(\/?)>/gy
  const texts: Array<string> = []
  const open: Array<string> = []
  for (let at = 0; at < svg.length;) {
    const end = svg.indexOf("<", at)
    const text = svg.slice(at, end < 0 ? undefined : end)
    assert.notMatch(text, /&(?!(?:amp|lt|gt|quot|apos);)|>/)
    texts.push(text.replaceAll(/&(\w+);/g, (_, name: string) => named[name]!))
    if (end < 0) break
    element.lastIndex = end
    const [whole, closes, name, , empty] = element.exec(svg) ?? assert.fail(`no element: ${svg.slice(end, end + 80)}`)
    if (closes === "/") assert.strictEqual(open.pop(), name)
    else if (empty !== "/") open.push(name!)
    at = end + whole.length
  }
  assert.deepStrictEqual(open, [])
  return texts
}

const seen = (name: string): string => name.replaceAll(/\p{Cs}/gu, "\ufffd").replaceAll(/[\s\p{Cc}]+/gu, " ")

describe("names", () => {
  const of = (name: string) =>
    Catalogue.make([
      cached(
        name,
        Policy.all(
          Policy.tagged(name),
          Policy.conditionalAll(
            Entity.make(name, {
              schema: Schema.Struct({ id: Schema.Int, [name]: Schema.String }),
              id: "id"
            }),
            { fields: [name] }
          )
        )
      )
    ])

  const names = fc.oneof(
    fc.constantFrom(
      "\"]",
      "|x|",
      "</text>",
      "<script>",
      "a--> b",
      "end",
      "style:#35;#",
      "`a`",
      "%% x",
      "&lt;",
      "x\ny",
      "\uffff",
      "\u0001"
    ),
    Generated.nasty
  ).filter((name) => name !== "id" && name !== "__proto__")

  it("do not break out of the picture", () => {
    Generated.holds(
      300,
      fc.property(names, (name) => {
        const title = `${seen(name)}(id)`.replaceAll(/[\ufffe\uffff]/g, "\ufffd")
        assert.include(textsOf(draw(of(name))), [...title].length > 44 ? `${[...title].slice(0, 43).join("")}…` : title)
      })
    )
  })

  it("do not break out of a cell", () => {
    Generated.holds(
      300,
      fc.property(names, (name) => {
        for (const line of of(name).markdown.split("\n")) {
          if (!/^\| |^\|---|^$/.test(line)) assert.fail(JSON.stringify(line))
          assert.include([0, 3, 4], line.split("|").length - 1)
          assert.notMatch(line.replaceAll("<br>", ""), /[<>`[\]*_\\~]|&(?!#\d+;)/)
        }
      })
    )
  })

  it("do not break out of the graph", () => {
    const label = "\"(?:[\\w ,.()-]|#\\d+;|<br/>)*\""
    const line = new RegExp(
      `^(?:flowchart LR|  s\\d+[[(]${label}[\\])]|  v\\d+\\(\\[${label}\\]\\)|  s\\d+ -{1,2}\\.?-?>(?:\\|${label}\\|)? v\\d+)$`
    )
    Generated.holds(
      300,
      fc.property(names, (name) => {
        const lines = of(name).mermaid.split("\n")
        assert.strictEqual(lines.length, 6)
        for (const one of lines) assert.match(one, line)
        assert.include(lines[1], "<br/>")
        const [entity, field] = lines[1]!.slice("  s0[\"".length, -"\"]".length).split("<br/>")
        assert.strictEqual(field, entity)
        const shown = /v0\(\["(.*)\(id\)"\]\)/.exec(lines[3]!)![1]!
        assert.strictEqual(
          shown.replaceAll(/#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code))),
          seen(name)
        )
      })
    )
  })
})

// -----------------------------------------------------------------------------
// the truth
// -----------------------------------------------------------------------------

const { Films } = Generated
type Film = Parameters<typeof Films.created>[0]

interface Happening {
  readonly change: Change.Change
  /** How a catalogue of `Films` labels it. */
  readonly kind: "field" | "membership"
  readonly field: string | undefined
}

const cross = <A, B>(as: ReadonlyArray<A>, bs: ReadonlyArray<B>) => as.flatMap((a) => bs.map((b) => [a, b] as const))

const genres = ["drama", "comedy", "b"]
const films: ReadonlyArray<Film> = cross([0, 1, 2], cross([0, 1, 2], genres))
  .map(([id, [year, genre]]) => ({ id, title: "t", year, genre }))

const happenings: ReadonlyArray<Happening> = films.flatMap((film) => {
  const field = (name: keyof Film, value: Film[keyof Film]): Happening => ({
    change: Films.updated(film, { ...film, [name]: value }),
    kind: "field",
    field: name
  })
  const relation = Change.related("added", Films.end(film.id, "actors"), { entity: "x", id: 1, relation: "films" })
  return [
    { change: Films.created(film), kind: "membership" as const, field: undefined },
    { change: Films.deleted(film), kind: "membership" as const, field: undefined },
    field("title", "u"),
    field("year", 7),
    field("genre", "western"),
    { change: relation, kind: "field" as const, field: "actors" }
  ]
})

const concerns = (change: Catalogue.Catalogue["changes"][number], { field, kind }: Happening): boolean =>
  kind === "membership"
    ? change.kind === "membership"
    : change.kind !== "membership" && change.entity === "film" && change.names.includes(field!)

describe("a catalogue", () => {
  // Just loaded, under the versions that are current: only changes end it.
  const [key, value] = [1, Generated.values[2]!]
  const world = { rows: [1, 1, 1], setting: 1, updatedAt: 1 }
  const after = (policy: Generated.Generated, happened: ReadonlyArray<Happening>): Verdict.Verdict =>
    Generated.judge(policy, {
      key,
      value,
      storedAt: 0,
      duration: 0,
      took: 0,
      jitter: 0,
      now: 0,
      draw: 1,
      constants: { version: 1, schema: 1 },
      before: world,
      after: world,
      missing: new Set(),
      changed: new Map(
        happened.flatMap(({ change }) => Change.dependencies(change).map((name) => [name, "hard" as const]))
      )
    })
  const changesFor = (policy: Generated.Generated) =>
    Catalogue.make(
      [Cached.make("value", {
        key: Key.int("id"),
        value: Schema.Struct({ tags: Schema.Array(Schema.String), owner: Schema.Int }),
        lookup: () => Effect.succeed(value)
      }, policy)],
      { entities: [Films] }
    ).changes
  const policies = fc.oneof(Generated.policies({ loadable: true }), Generated.leaves({ loadable: true }))

  it("names whatever makes a value worse", () => {
    let worse = 0
    Generated.holds(
      400,
      fc.property(policies, (policy) => {
        const changes = changesFor(policy)
        const before = after(policy, [])
        for (const happening of happenings) {
          const verdict = after(policy, [happening])
          if (verdict === before) continue
          worse++
          const told = changes.filter((change) => concerns(change, happening)).flatMap(({ invalidates }) => invalidates)
          assert.strictEqual(told.length, 1, Change.format(happening.change))
          assert.isTrue(noWorse(verdict, Verdict.meet(before, told[0]!.severity)))
        }
      })
    )
    assert.isAbove(worse, 100)
  })

  it("names nothing that does not", () => {
    let named = 0
    Generated.holds(
      400,
      fc.property(policies, (policy) => {
        for (const change of changesFor(policy)) {
          // An id never changes: that is one row gone and another come.
          if (change.entity !== "film" || change.kind === "otherFields" || change.names.includes("id")) continue
          for (const { always, severity } of change.invalidates) {
            if (!always) continue
            named++
            const verdict = happenings.filter((happening) => concerns(change, happening))
              .map((happening) => after(policy, [happening]))
              .reduce(Verdict.meet)
            assert.isTrue(noWorse(severity, verdict), change.label)
          }
        }
      })
    )
    assert.isAbove(named, 20)
  })
})
