/**
 * Reading an entry and the markers of what it depends on, and what this process
 * remembers of a key so that one command is enough.
 */
import * as Effect from "effect/Effect"
import { LRUCache } from "lru-cache"
import type { Address, CacheStore, Entry, StoreError, Token } from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import { placeOf } from "../place.ts"
import type { Value } from "./client.ts"
import type { Session } from "./session.ts"
import * as Wire from "./wire.ts"

/** An entry as it lies there, and what the reader made of it. */
interface Text {
  readonly text: string
  readonly written: Wire.Written
  memo: unknown
}

/** What is remembered of a key: which markers to ask for, and the entry as it was last seen, ready to be served. */
interface Remembered {
  readonly names: ReadonlyArray<Dependency>
  /** Where the entry and its markers lie. */
  readonly places: ReadonlyArray<string>
  readonly last: Text | undefined
}

/** An entry as a reader sees it. What the reader makes of its payload is remembered with the text. */
class Seen implements Entry {
  readonly changed: Entry["changed"]
  private readonly from: Text
  private readonly softly: boolean

  /** `softly`: its key was invalidated so, and it has a version. */
  constructor(from: Text, changed: Entry["changed"], softly = false) {
    this.from = from
    this.changed = changed
    this.softly = softly
  }
  get token(): Token {
    return this.from.written.token
  }
  get payload(): unknown {
    return this.from.written.payload
  }
  get stamp(): Entry["stamp"] {
    return this.from.written.stamp
  }
  get expiresAt(): number {
    return this.from.written.expiresAt
  }
  get softened(): boolean {
    return this.softly || this.from.written.softened
  }
  get memo(): unknown {
    return this.from.memo
  }
  set memo(memo: unknown) {
    this.from.memo = memo
  }
}

// An entry longer than this is parsed each time: remembering it would push out too many others.
const longestRemembered = 65_536

const bytesOfNames = 8_388_608

const noNames: ReadonlyArray<Dependency> = []

/** What the key tells, if the user's function does not throw; `begin` lets it throw. */
const knownOf = (address: Address): ReadonlyArray<Dependency> => {
  try {
    return Wire.namesOf(address, address.known)
  } catch {
    return noNames
  }
}

const sameNames = (a: ReadonlyArray<Dependency>, b: ReadonlyArray<Dependency>): boolean =>
  a === b || (a.length === b.length && a.every((name, i) => name === b[i]))

export interface Reading {
  readonly read: CacheStore["read"]
  /** The next read of the address will ask for these markers. */
  readonly remember: (address: Address, names: ReadonlyArray<Dependency>) => void
}

export const make = ({ clock, names, settings, synchronize, transport }: Session): Reading => {
  const remembered = new LRUCache<string, Remembered>({
    // What was parsed takes about as much again as the text, and names are remembered also where no text is. With a `max`
    // room for as many would be taken from the start.
    maxSize: settings.remember + bytesOfNames,
    sizeCalculation: ({ last, names }) => 300 + names.length * 200 + (last === undefined ? 0 : 4 * last.text.length)
  })

  const placesFor = (address: Address, all: ReadonlyArray<Dependency>): ReadonlyArray<string> => [
    names.entry(address),
    ...all.map((name) => names.marker(name))
  ]

  const remember = (address: Address, all: ReadonlyArray<Dependency>, last?: Text): void => {
    const place = placeOf(address)
    const before = remembered.get(place)
    const same = before !== undefined && sameNames(before.names, all)
    if (same && last === undefined && before.last === undefined) return
    remembered.set(place, {
      names: all,
      places: same ? before.places : placesFor(address, all),
      last
    })
  }

  const parse = (address: Address, text: string): Text => {
    const parsed: Text = { text, written: Wire.readEntry(text, clock.behind, Wire.keyOf(address)), memo: undefined }
    const keep = settings.remember > 0 && text.length <= longestRemembered
    remember(address, parsed.written.names, keep ? parsed : undefined)
    return parsed
  }

  /** Makes an entry of what was read; asks again where its dependencies are others than were asked for. */
  const see = (
    address: Address,
    asked: ReadonlyArray<Dependency>,
    values: ReadonlyArray<Value>,
    last: Remembered | undefined
  ): Effect.Effect<Entry | undefined, StoreError> => {
    const text = values[0]
    if (typeof text !== "string") return Effect.succeed(undefined)
    const seen = last?.last !== undefined && last.last.text === text ? last.last : parse(address, text)
    const { names: all, vector } = seen.written
    if (vector.length === 0) return Effect.succeed(new Seen(seen, undefined))
    if (sameNames(asked, all)) {
      let same = true
      for (let i = 0; same && i < vector.length; i++) same = vector[i] === values[i + 1]
      if (same) return Effect.succeed(new Seen(seen, undefined))
    }
    const markers = new Map<Dependency, Value>()
    for (let i = 0; i < asked.length; i++) markers.set(asked[i]!, values[i + 1] ?? null)
    const missing = all.filter((name) => !markers.has(name))
    const look = () => {
      const found = Wire.changesOf(seen.written, (name) => markers.get(name))
      const { changed, key } = Wire.apartFromKey(found, Wire.keyOf(address))
      return key === "hard" ? undefined : new Seen(seen, changed, key === "soft")
    }
    return missing.length === 0
      ? Effect.sync(look)
      : Effect.map(transport.get("read", missing.map((name) => names.marker(name))), (more) => {
        for (const [i, name] of missing.entries()) markers.set(name, more[i] ?? null)
        return look()
      })
  }

  const readOnce = (address: Address): Effect.Effect<Entry | undefined, StoreError> => {
    const last = remembered.get(placeOf(address))
    const asked = last?.names ?? knownOf(address)
    const places = last?.places ?? placesFor(address, asked)
    return Effect.flatMap(transport.get("read", places), (values) => see(address, asked, values, last))
  }

  const read = (address: Address): Effect.Effect<Entry | undefined, StoreError> =>
    // Until the server has said its time once, no age is known.
    Effect.suspend(() =>
      clock.isKnown ? readOnce(address) : Effect.andThen(transport.inTime("read", synchronize), readOnce(address))
    )

  return { read, remember }
}
