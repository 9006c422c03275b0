/** Which cases are run on Redis, and those that only a store with markers has. */
import { by, large, nested, nestedLarge, nestedSmall, of, patterns, small } from "./cases.ts"
import type { Case } from "./search.ts"
import { type Dependence, evictor, inTurn, mutator, reader, setBack, writer } from "./world.ts"

const tagged: ReadonlyArray<readonly [Dependence, string]> = [["known", "tag from the key"], [
  "found",
  "tag from the value"
]]

/** Markers and fences are keys as others are, and may be evicted. */
const evicting: ReadonlyArray<Case> = [
  ...tagged.flatMap(([dependence, name]) => [
    of(`${name}: reader, writer, evictor of markers`, by(dependence), [reader(0), writer(0), evictor("marker")]),
    of(`${name}: two writers, the marker is evicted twice`, by(dependence), [
      reader(0),
      writer(0),
      writer(1),
      evictor("marker", "marker")
    ]),
    of(`${name}: readers, writer, everything evicted`, by(dependence), [
      reader(0),
      reader(1),
      writer(0),
      evictor("marker", "journal", "lease", "entry")
    ])
  ]),
  // What was noted before the journal was lost counts as well.
  of("tag from the value: reader, two writers, evictor of the journal", by("found"), [
    reader(0),
    writer(0),
    writer(1),
    evictor("journal")
  ]),
  ...([["key", "key"], ...tagged] as const).flatMap(([dependence, name]) => [
    of(`${name}: reader, mutate, evictor of fences`, by(dependence), [reader(0), mutator(1), evictor("fences")]),
    of(`${name}: reader, mutate, evictor of the journal and fences`, by(dependence), [
      reader(0),
      mutator(1),
      evictor("journal", "fences")
    ])
  ])
]

/** A reader that comes when the writer is done may find the other's load in the middle of being stored. */
const joining: ReadonlyArray<Case> = ([["key", "key"], ...tagged] as const).map(([dependence, name]) =>
  of(`${name}: reader, writer then reader`, by(dependence), [reader(0), inTurn(writer(1), reader(0))])
)

/** A clock that is set back makes no load younger, also where nobody hears what became of it. */
const setBacks: ReadonlyArray<Case> = [false, true].map((missing) =>
  of(
    `tag from the key: ${missing ? "no row yet" : "no commit is answered"}, the clock is set back`,
    { by: "known", unanswered: true, missing },
    [reader(0), inTurn(setBack(5000), writer(0), reader(0))]
  )
)

/** Only here: in memory an operation has no middle, and there are no markers. */
const more: ReadonlyArray<Case> = [...evicting, ...joining, ...setBacks]

// How many steps an invalidation takes is the store's affair here.
const reading: ReadonlyArray<Case> = [
  ...[...nestedSmall, ...nestedLarge].filter(({ settings }) => settings.steps === true || settings.missing === true),
  ...([["key", "keys"], ...tagged] as const).map(([dependence, name]) =>
    nested(`${name}: page, writer, the fences are evicted`, { by: dependence, depth: 1 }, [
      reader(0, 1),
      writer(1),
      evictor("fences")
    ])
  ),
  // It takes longer than the fence around it stands, unless that is renewed.
  nested("patterns: a site, a page, a writer whose walk takes long", { by: "key", depth: 2, tick: 700 }, [
    reader(0, 2),
    reader(1, 1),
    writer(1, patterns)
  ], { expect: ({ fences }) => fences.size === 1 ? undefined : `${fences.size} fences were opened` })
]

/** All cases on Redis. */
export const onRedis: ReadonlyArray<Case> = [...small, ...large, ...more, ...reading]

// Three actors that go through a whole load each have thousands; in steps, two that do.
const wide = /two processes read|two readers|refresh|three readers|twice|readers, writer|mutate, evictor/
const wideInSteps = /reader, two writers|another reads|evictor|key: reader, writer then reader|set back|nested/

const isQuick = (split: boolean) => ({ name }: Case): boolean =>
  !wide.test(name) && !(split && wideInSteps.test(name) && !name.startsWith("key"))

/** Every schedule of these is run by the tests. */
export const quick = (split: boolean): ReadonlyArray<Case> => [...small, ...more].filter(isQuick(split))
