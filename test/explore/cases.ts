import { Cached, Invalidation } from "../../src/index.ts"
import type { Case } from "./search.ts"
import {
  type Actress,
  crasher,
  type Dependence,
  evictor,
  freshReader,
  hastyWriter,
  interrupted,
  inTurn,
  manyReader,
  mover,
  mutator,
  optionReader,
  reader,
  refresher,
  setter,
  type Settings,
  stubbornMutator,
  waitOut,
  type World,
  writer
} from "./world.ts"

export const of = (
  name: string,
  settings: Settings,
  early: ReadonlyArray<Actress>,
  more: Partial<Case> = {}
): Case => ({ name, settings, early, late: [reader(0), reader(1)], ...more })

export const by = (dependence: Dependence): Settings => ({ by: dependence })

const dependences: ReadonlyArray<readonly [Dependence, string]> = [
  ["key", "key"],
  ["known", "tag from the key"],
  ["found", "tag from the value"]
]

const pattern = (world: World): Invalidation.Invalidation => Cached.pattern(world.definition)

/** So small that every schedule is run in no time. */
const hundreds: ReadonlyArray<Case> = [
  ...dependences.flatMap(([dependence, name]) => [
    of(`${name}: reader, writer`, by(dependence), [reader(0), writer(0)]),
    of(`${name}: two processes read, one writes`, by(dependence), [reader(0), reader(1), writer(0)]),
    of(`${name}: two readers of a process, a writer`, by(dependence), [reader(0), reader(0), writer(1)]),
    of(`${name}: reader, two writers`, by(dependence), [reader(0), writer(0), writer(1)]),
    of(`${name}: reader, writer, evictor of leases`, by(dependence), [reader(0), writer(0), evictor("lease")]),
    of(`${name}: reader, writer, evictor of the journal`, by(dependence), [reader(0), writer(0), evictor("journal")]),
    of(`${name}: reader, mutate`, by(dependence), [reader(0), mutator(1)]),
    of(`${name}: reader, write-through`, by(dependence), [reader(0), setter(1)]),
    of(`${name}: two write-throughs`, by(dependence), [setter(0), setter(1)]),
    of(`${name}: reader, refresh, writer`, by(dependence), [reader(0), refresher(0), writer(1)]),
    of(`${name}: a reader is interrupted, another reads`, by(dependence), [interrupted(0), reader(0)]),
    of(`${name}: a reader is interrupted, another writes`, by(dependence), [interrupted(0), writer(1)])
  ]),
  of("pattern: two readers, writer", by("key"), [reader(0), reader(1), writer(0, pattern)]),
  of("everything: two readers, writer", by("found"), [reader(0), reader(1), writer(0, () => Invalidation.everything)]),
  of("tag from the value: reader, mover", by("found"), [reader(0), mover(1)]),
  of("tag from the value: two readers, mover", by("found"), [reader(0), reader(1), mover(1)])
]

/** Small enough for every schedule to be run, in thousands of runs. */
const thousands: ReadonlyArray<Case> = [
  ...dependences.flatMap(([dependence, name]) => [
    of(`${name}: two readers, writer, evictor of entries`, by(dependence), [
      reader(0),
      reader(1),
      writer(0),
      evictor("entry")
    ]),
    of(`${name}: two readers, mutate`, by(dependence), [reader(0), reader(1), mutator(0)])
  ]),
  of("one load: three readers of a cold key", by("key"), [reader(0), reader(0), reader(1)], {
    expect: (world) => world.loads === 1 ? undefined : `${world.loads} loads`
  })
]

/** Small enough for every schedule to be run. */
export const small: ReadonlyArray<Case> = [...hundreds, ...thousands]

/** Too many schedules for all of them: drawn at random. */
export const large: ReadonlyArray<Case> = [
  ...dependences.flatMap(([dependence, name]) => [
    of(`${name}: four readers, two writers`, by(dependence), [
      reader(0),
      reader(0),
      reader(1),
      reader(1),
      writer(0),
      writer(1)
    ]),
    of(`${name}: readers, writers, everything evicted`, by(dependence), [
      reader(0),
      reader(1),
      writer(0),
      writer(1),
      evictor("lease", "journal", "entry"),
      optionReader(0)
    ]),
    of(`${name}: readers, two mutates`, by(dependence), [reader(0), reader(1), mutator(0), mutator(1), reader(0)]),
    of(`${name}: mutate outlasts its fence`, { by: dependence, tick: 1, fence: 4 }, [
      reader(0),
      reader(1),
      reader(0),
      mutator(1)
    ]),
    of(`${name}: a write outlasts its fence and cannot be stopped`, { by: dependence, tick: 1, fence: 3 }, [
      reader(0),
      reader(1),
      reader(0),
      stubbornMutator(1)
    ]),
    of(`${name}: mutate, the journal is evicted`, by(dependence), [
      reader(0),
      reader(1),
      mutator(1),
      evictor("journal")
    ]),
    of(
      `${name}: mutate crashes`,
      { by: dependence, tick: 1, fence: 9 },
      [reader(0), reader(1), reader(0), crasher(1)],
      {
        late: [waitOut(1000), reader(0), reader(1)]
      }
    ),
    of(
      `${name}: mutate crashes beside another`,
      { by: dependence, tick: 1, fence: 12 },
      [reader(0), reader(1), crasher(1), mutator(0), reader(0)],
      { late: [waitOut(1000), reader(0), reader(1)] }
    ),
    of(
      `${name}: mutate crashes beside a quick one`,
      { by: dependence, tick: 1, fence: 40 },
      [crasher(1), mutator(0), reader(0), reader(0)],
      { late: [waitOut(1000), reader(0), reader(1)] }
    ),
    of(`${name}: write-throughs, a writer, readers`, by(dependence), [
      setter(0),
      setter(1),
      writer(0),
      reader(0),
      reader(1)
    ]),
    of(`${name}: refreshes, interruptions, a writer`, by(dependence), [
      refresher(0),
      refresher(1),
      interrupted(0),
      interrupted(1),
      reader(0),
      writer(1)
    ])
  ]),
  // The row moves between the tags, so a writer cannot know which of them names it.
  of("tag from the value: movers, writers, readers", by("found"), [
    mover(0),
    writer(1, () => Invalidation.tags(["T", "U"])),
    reader(0),
    reader(1),
    reader(0)
  ])
]

// -----------------------------------------------------------------------------
// loads that read the cache
// -----------------------------------------------------------------------------

export const nested = (
  name: string,
  settings: Settings,
  early: ReadonlyArray<Actress>,
  more: Partial<Case> = {}
): Case => {
  const depths = Array.from({ length: 1 + (settings.depth ?? 0) }, (_, i) => i)
  return {
    name: `nested, ${name}`,
    settings,
    // All is there, and old, but for the outermost.
    first: [reader(0, depths.length - 2)],
    early,
    late: depths.toReversed().flatMap((depth) => [reader(0, depth), reader(1, depth)]),
    ...more
  }
}

const everything = () => Invalidation.everything

export const patterns = (world: World): Invalidation.Invalidation => {
  const over = Invalidation.combineAll(world.nest.toReversed().map((one) => Cached.pattern(one)))
  return world.settings.soft === true ? Invalidation.soft(over) : over
}

/** How the row and what is made of it are covered by one invalidation, which takes several steps. */
const coverings: ReadonlyArray<readonly [string, Settings, typeof pattern | undefined]> = [
  ["keys", by("key"), undefined],
  ["a tag from the key", by("known"), undefined],
  ["a tag from the value", by("found"), undefined],
  ["two tags from the key", { by: "known", tags: 2 }, undefined],
  ["two tags from the value", { by: "found", tags: 2 }, undefined],
  ["patterns", by("key"), patterns],
  ["everything", by("found"), everything]
]

// What a soft one leaves is fresh, or it is not served as fresh.
const softly = (depth: number): Partial<Case> => ({ late: [freshReader(0, depth), freshReader(1, depth)] })

/** So small that every schedule is run in no time. */
const nestedHundreds: ReadonlyArray<Case> = [
  ...coverings.map(([name, settings, how]) =>
    nested(`${name}: page, writer`, { ...settings, depth: 1 }, [reader(0, 1), writer(1, how)])
  ),
  ...dependences.flatMap(([dependence, name]) => [
    nested(`${name}: page, mutate`, { by: dependence, depth: 1 }, [reader(0, 1), mutator(1)]),
    nested(`${name}: page, write-through`, { by: dependence, depth: 1 }, [reader(0, 1), setter(1)], {
      // The page is not told of it.
      late: [reader(0), reader(1)]
    }),
    // One after another: the page is refreshed behind the back of whoever reads it, while the row is stale.
    nested(`${name}: a stale page is refreshed`, { by: dependence, depth: 1, soft: true }, [
      inTurn(writer(0), reader(0, 1)),
      reader(1)
    ], { first: [reader(0, 1)], ...softly(1) }),
    nested(`${name}: no row yet: reader, mutate`, { by: dependence, missing: true }, [reader(0), mutator(1)], {
      first: []
    }),
    nested(`${name}: no row yet: reader, mutate then reader`, { by: dependence, missing: true }, [
      reader(0),
      inTurn(mutator(0), reader(0))
    ], { first: [] }),
    nested(`${name}: no row yet: reader, writer then reader`, { by: dependence, missing: true }, [
      reader(0),
      inTurn(writer(0), reader(0))
    ], { first: [] }),
    nested(`${name}: no row yet: a page that says so, writer`, {
      by: dependence,
      depth: 1,
      missing: true,
      catches: true
    }, [
      reader(0, 1),
      writer(1)
    ], { first: [] })
  ])
]

/** The invalidation takes several steps, and the schedules are many more. */
const nestedInSteps: ReadonlyArray<Case> = [
  ...coverings.flatMap(([name, settings, how]) => [
    nested(`${name}: page, writer in steps`, { ...settings, depth: 1, steps: true }, [reader(0, 1), writer(1, how)]),
    nested(`${name}: page, soft writer in steps`, { ...settings, depth: 1, steps: true, soft: true }, [
      reader(0, 1),
      writer(1, how)
    ], softly(1))
  ]),
  ...dependences.map(([dependence, name]) =>
    nested(`${name}: page, mutate in steps`, { by: dependence, depth: 1, steps: true }, [reader(0, 1), mutator(1)])
  )
]

/** Small enough for every schedule to be run. */
export const nestedSmall: ReadonlyArray<Case> = [...nestedHundreds, ...nestedInSteps]

/** Of the small ones those that are run in no time: none has more than six hundred schedules. */
export const quick: ReadonlyArray<Case> = [...hundreds, ...nestedHundreds]

/** Too many schedules for all of them. */
export const nestedLarge: ReadonlyArray<Case> = coverings.flatMap(([name, settings, how]) => {
  const three: Settings = { ...settings, depth: 2, steps: true }
  return [
    nested(`${name}: site, page, row, writer`, three, [reader(0, 2), reader(1, 1), reader(0), writer(1, how)]),
    nested(`${name}: sites, pages, two writers`, three, [
      reader(0, 2),
      reader(1, 2),
      manyReader(0, 1),
      writer(0, how),
      writer(1, how)
    ]),
    nested(`${name}: site, page, the journal is evicted`, three, [
      reader(0, 2),
      reader(1, 1),
      writer(1, how),
      evictor("journal", "journal")
    ]),
    nested(`${name}: site, page, everything is evicted`, three, [
      reader(0, 2),
      reader(1, 1),
      writer(1, how),
      evictor("marker", "journal", "lease", "entry")
    ]),
    nested(`${name}: site, page, two soft writers`, { ...three, soft: true }, [
      reader(0, 2),
      reader(1, 1),
      writer(0, how),
      writer(1, how)
    ], softly(2)),
    ...(how === undefined
      ? [
        nested(`${name}: site, page, a writer in haste`, three, [reader(0, 2), reader(1, 1), hastyWriter(1)]),
        nested(`${name}: site, refreshes, mutate, writer`, three, [
          refresher(0, 2),
          refresher(1, 1),
          reader(0, 2),
          mutator(0),
          writer(1)
        ]),
        nested(`${name}: no row yet: sites that say so, mutate, writer`, { ...three, missing: true, catches: true }, [
          reader(0, 2),
          reader(1, 1),
          reader(0),
          mutator(0),
          writer(1)
        ], { first: [] }),
        nested(`${name}: no row yet: readers, mutate, writer`, { ...three, missing: true }, [
          reader(0, 2),
          reader(0),
          reader(0),
          mutator(0),
          writer(1)
        ], { first: [] })
      ]
      : [])
  ]
})

export const all: ReadonlyArray<Case> = [...small, ...large, ...nestedSmall, ...nestedLarge]
