import { Cached, Invalidation } from "../../src/index.ts"
import type { Case } from "./search.ts"
import {
  type Actress,
  crasher,
  type Dependence,
  evictor,
  interrupted,
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

/** Small enough for every schedule to be run. */
export const small: ReadonlyArray<Case> = [
  ...dependences.flatMap(([dependence, name]) => [
    of(`${name}: reader, writer`, by(dependence), [reader(0), writer(0)]),
    of(`${name}: two processes read, one writes`, by(dependence), [reader(0), reader(1), writer(0)]),
    of(`${name}: two readers of a process, a writer`, by(dependence), [reader(0), reader(0), writer(1)]),
    of(`${name}: reader, two writers`, by(dependence), [reader(0), writer(0), writer(1)]),
    of(`${name}: two readers, writer, evictor of entries`, by(dependence), [
      reader(0),
      reader(1),
      writer(0),
      evictor("entry")
    ]),
    of(`${name}: reader, writer, evictor of leases`, by(dependence), [reader(0), writer(0), evictor("lease")]),
    of(`${name}: reader, writer, evictor of the journal`, by(dependence), [reader(0), writer(0), evictor("journal")]),
    of(`${name}: reader, mutate`, by(dependence), [reader(0), mutator(1)]),
    of(`${name}: two readers, mutate`, by(dependence), [reader(0), reader(1), mutator(0)]),
    of(`${name}: reader, write-through`, by(dependence), [reader(0), setter(1)]),
    of(`${name}: two write-throughs`, by(dependence), [setter(0), setter(1)]),
    of(`${name}: reader, refresh, writer`, by(dependence), [reader(0), refresher(0), writer(1)]),
    of(`${name}: a reader is interrupted, another reads`, by(dependence), [interrupted(0), reader(0)]),
    of(`${name}: a reader is interrupted, another writes`, by(dependence), [interrupted(0), writer(1)])
  ]),
  of("pattern: two readers, writer", by("key"), [reader(0), reader(1), writer(0, pattern)]),
  of("everything: two readers, writer", by("found"), [reader(0), reader(1), writer(0, () => Invalidation.everything)]),
  of("tag from the value: reader, mover", by("found"), [reader(0), mover(1)]),
  of("tag from the value: two readers, mover", by("found"), [reader(0), reader(1), mover(1)]),
  of("one load: three readers of a cold key", by("key"), [reader(0), reader(0), reader(1)], {
    expect: (world) => world.loads === 1 ? undefined : `${world.loads} loads`
  })
]

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
    writer(1, () => Invalidation.tags("T", "U")),
    reader(0),
    reader(1),
    reader(0)
  ])
]

export const all: ReadonlyArray<Case> = [...small, ...large]
