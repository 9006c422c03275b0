/**
 * Random states of a server, and random calls of each script: mostly as the library makes them, from what lies there at
 * that moment, so that loads are stored, too; some with arguments and keys that it would never send. Texts are binary.
 */
import { Names, positionOf } from "../../../src/internal/redis/wire.ts"
import type { Random } from "../world/random.ts"

export type Stored =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "zset" | "hash"; readonly value: ReadonlyArray<readonly [string, string]> }
  | { readonly type: "list"; readonly value: ReadonlyArray<string> }

export interface Placed {
  readonly key: string
  readonly stored: Stored
  /** Milliseconds; undefined if it does not expire. */
  readonly life: number | undefined
}

export interface Call {
  readonly script: string
  readonly keys: ReadonlyArray<string>
  readonly args: ReadonlyArray<string>
}

/** What a caller can know who looked a moment ago. */
export interface Sight {
  /** The server's time in microseconds. */
  readonly us: number
  readonly at: (key: string) => Stored | undefined
}

interface Address {
  readonly key: string
  readonly version: string | undefined
}

const names = new Names("c")

/** Keys and dependencies; one is not ASCII, one is the dependency on a key. */
const addresses: ReadonlyArray<Address> = ["a", "b"].flatMap((
  key
) => [{ key, version: undefined }, { key, version: "1" }])
const tags = ["T", "U", "n\xc3\xa9"]

export const channels = [names.released, names.invalidated]

const markersOf = (some: ReadonlyArray<string>): ReadonlyArray<string> => some.map((name) => `c:m:{${name}}`)

const ofKey = (key: string): string => names.keyMarker(key)

/** Every key that a state or a call touches. */
export const places: ReadonlyArray<string> = [
  ...addresses.flatMap((address) => [names.entry(address), names.lease(address)]),
  ofKey("a"),
  ofKey("b"),
  ...markersOf(tags),
  names.journal,
  names.fences,
  names.probe,
  names.protocol
]

/** Of these there is more to see than of others. */
const loading = ["begin", "commit", "commit", "discard", "take", "store"]

const ids = ["id1", "id2", "id3"]
const tokens = ["tok1", "tok2", "tok3"]
const markerLife = "3600000"
const journalLife = "604800000"

const list = (all: ReadonlyArray<string>): ReadonlyArray<string> => [String(all.length), ...all]

const textAt = (sight: Sight, key: string): string | undefined => {
  const stored = sight.at(key)
  return stored?.type === "string" ? stored.value : undefined
}

const pairsAt = (sight: Sight, key: string): ReadonlyArray<readonly [string, string]> => {
  const stored = sight.at(key)
  return stored?.type === "zset" || stored?.type === "hash" ? stored.value : []
}

/** A dependency of a call: its name, and where its marker lies. */
interface Named {
  readonly name: string
  readonly marker: string
}

/** `shortest`: milliseconds that whatever expires lives at least, where time cannot be told to the server exactly. */
export class Generator {
  private readonly random: Random
  private readonly shortest: number
  private sight: Sight
  /** Few, so that those in entries, leases and markers meet. */
  private markers: ReadonlyArray<string>
  private epochs: ReadonlyArray<string>

  constructor(random: Random, shortest: number) {
    this.random = random
    this.shortest = shortest
    this.sight = { us: 0, at: () => undefined }
    this.markers = []
    this.epochs = []
  }

  // ---------------------------------------------------------------------------
  // words
  // ---------------------------------------------------------------------------

  private pick<A>(all: ReadonlyArray<A>): A {
    return this.random.pick(all)
  }

  private chance(p: number): boolean {
    return this.random.chance(p)
  }

  private int(n: number): number {
    return this.random.int(n)
  }

  private some<A>(all: ReadonlyArray<A>): ReadonlyArray<A> {
    return all.filter(() => this.chance(0.5))
  }

  private get ms(): number {
    return Math.floor(this.sight.us / 1000)
  }

  private bytes(n: number): string {
    return Array.from({ length: n }, () => String.fromCharCode(this.int(256))).join("")
  }

  private nonce(): string {
    return `o.${this.int(4)}`
  }

  private stamp(): string {
    return `${this.sight.us - this.pick([0, 1, 999, 1000, 5000, 1e6, 60e6]) + this.pick([0, 0, 0, 5e6])}${this.nonce()}`
  }

  private newMarker(): string {
    return this.chance(0.3) ? `${this.stamp()}/${this.stamp()}` : this.stamp()
  }

  private marker(): string {
    return this.chance(0.8) ? this.pick(this.markers) : this.newMarker()
  }

  private life(millis: number): number {
    return Math.max(millis, this.shortest)
  }

  private garbage(): string {
    const numbers = ["123", "1e3", "0x10", "2.5"].filter(() => this.shortest <= 1)
    const others = [
      "",
      "x",
      "\n",
      "B",
      "Bab",
      "b\n",
      "0",
      "1x",
      "0tok1",
      "/",
      "a/b/c",
      "\0",
      "\x80\xff",
      "-1",
      "inf",
      "nan",
      "xBtok1\n",
      "x1tok2\n",
      "x 5 y"
    ]
    return this.pick([...numbers, ...others, this.bytes(this.int(12)), "4503599627370497", " 5", "5\0"])
  }

  // ---------------------------------------------------------------------------
  // states
  // ---------------------------------------------------------------------------

  private entry(): string {
    const token = this.chance(0.1) ? "t".repeat(240 + this.int(30)) : this.pick(tokens)
    const vector = [this.marker(), this.marker(), this.marker()].slice(0, this.int(4)).join(",")
    const payload = this.pick(["{}", "\"\xe2\x82\xac\"", "x".repeat(this.int(1200)), this.bytes(8)])
    return `${this.pick(["B", "B", "b", "A"])}${token}\n${vector}\n[1,2,0.5,"s\xc3\xa9"]\n${payload}`
  }

  private lease(): string {
    const lines = this.some(tags).map((name) => `${name} ${this.marker()}\n`).join("")
    return `${this.pick(["0", "1"])}${this.pick(tokens)}\n${lines}${this.chance(0.1) ? this.garbage() : ""}`
  }

  private score(): string {
    const edges = [
      "inf",
      "-inf",
      "2.5",
      "-1",
      "9007199254740991",
      "4503599627370496",
      "4503599627370495",
      "1e300",
      "0.1"
    ]
    return this.chance(0.12) ? this.pick(edges) : String(this.int(20))
  }

  private journal(): ReadonlyArray<readonly [string, string]> {
    const all: Array<readonly [string, string]> = []
    if (this.chance(0.95)) {
      all.push([this.chance(0.95) ? this.pick(this.epochs) : this.garbage(), this.chance(0.95) ? "-1" : this.score()])
    }
    if (this.chance(0.95)) all.push(["!", this.chance(0.8) ? "0" : this.score()])
    for (const name of [...tags, "gone", "old"]) if (this.chance(0.5)) all.push([`=${name}`, this.score()])
    return all.length === 0 ? [["a", "1"]] : all
  }

  private fence(): string {
    const till = this.ms + this.pick([-10_000, -1, 0, 1, 500, 30_000, 30_000])
    const over = this.pick(["d:T", "k:a", "", "o".repeat(90), "\n"])
    return this.chance(0.85)
      ? `${till} ${over}`
      : this.pick([this.garbage(), `${till}`, `${till} `, "99999999999999999999999 x", "007 x"])
  }

  private valueFor(key: string): Stored {
    const kind = this.chance(0.06) ? this.pick(["list", "string", "zset", "hash"]) : key[2]
    switch (kind) {
      case "e":
        return { type: "string", value: this.chance(0.9) ? this.entry() : this.garbage() }
      case "l":
        return { type: "string", value: this.chance(0.9) ? this.lease() : this.garbage() }
      case "m":
      case "k":
        return { type: "string", value: this.chance(0.92) ? this.marker() : this.garbage() }
      case "j":
      case "zset":
        return { type: "zset", value: this.journal() }
      case "f":
      case "hash":
        return {
          type: "hash",
          value: this.pick([ids, ["id1"], ["id2", "id3"]]).map((id) => [id, this.fence()] as const)
        }
      case "v":
        return { type: "string", value: this.pick(["1", "1", "2", ""]) }
      case "list":
        return { type: "list", value: ["x"] }
      default:
        return { type: "string", value: this.garbage() }
    }
  }

  /** What lies there at first. */
  state(us: number): ReadonlyArray<Placed> {
    this.sight = { us, at: () => undefined }
    this.markers = [this.newMarker(), this.newMarker(), this.newMarker()]
    this.epochs = [`@${this.stamp()}`, `@${this.stamp()}`]
    return places.filter((key) => this.chance(key === names.protocol || key === names.probe ? 0.3 : 0.65)).map((
      key
    ) => ({
      key,
      stored: this.valueFor(key),
      life: this.chance(0.25) ? undefined : this.life(this.pick([1, 500, 3_600_000, 3_600_000, 604_800_000]))
    }))
  }

  // ---------------------------------------------------------------------------
  // what a caller knows
  // ---------------------------------------------------------------------------

  private tokenIn(entry: string): string {
    const found = /^[Bb]([ -~]*)\n/.exec(textAt(this.sight, entry) ?? "")
    return this.chance(0.7) ? found?.[1] ?? this.pick(tokens) : this.pick([...tokens, ""])
  }

  private holderOf(lease: string): string {
    const found = /^[01]([^\n]*)\n/.exec(textAt(this.sight, lease) ?? "")
    return this.chance(0.8) ? found?.[1] ?? this.pick(tokens) : this.pick(tokens)
  }

  private tokenOf(marker: string): string {
    return this.chance(0.95) ? textAt(this.sight, marker) ?? this.marker() : this.marker()
  }

  /** What was captured of a dependency; nothing if it was found in the value. */
  private expected({ marker }: Named): string {
    return this.chance(0.25) ? "" : this.tokenOf(marker)
  }

  private position(): readonly [epoch: string, sequence: string] {
    const journal = pairsAt(this.sight, names.journal)
    const epoch = this.chance(0.85) ? journal[0]?.[0] ?? this.pick(this.epochs) : this.pick(this.epochs)
    const sequence = this.chance(0.75) ? journal.at(-1)?.[1] ?? "0" : this.pick(["0", "1", "5", "19", "100"])
    return [epoch, sequence]
  }

  private over(): ReadonlyArray<string> {
    return this.chance(0.7)
      ? []
      : this.chance(0.7)
      ? pairsAt(this.sight, names.fences).map(([id]) => id)
      : this.some(ids)
  }

  private dependencies(): ReadonlyArray<Named> {
    return this.some(tags).map((name) => ({ name, marker: markersOf([name])[0]! }))
  }

  /** All that an entry is loaded under. */
  private namesOf({ key, version }: Address): ReadonlyArray<Named> {
    const others = this.dependencies()
    return version === undefined ? others : [{ name: `key:${key}`, marker: ofKey(key) }, ...others]
  }

  private expires(): string {
    const now = this.ms
    const soon = [now, now + this.life(1), now + this.life(1000), now + 1e9, now + this.life(10) + 0.75]
    return String(this.pick([now - 5, ...soon, 9_007_199_254_740_991]))
  }

  private length(): string {
    return String(this.life(this.pick([1, 1000, 30_000, 30_000, 3_600_000])))
  }

  private mode(): string {
    return this.pick(["hard", "soft"])
  }

  private flag(p = 0.5): string {
    return this.chance(p) ? "1" : "0"
  }

  private limit(): string {
    return this.pick(["1", "2", "3", "100", "10000"])
  }

  private ended(key: string, ends: boolean): ReadonlyArray<string> {
    return ends ? names.ofKey(key) : []
  }

  // ---------------------------------------------------------------------------
  // calls
  // ---------------------------------------------------------------------------

  private readonly calls: Readonly<Record<string, () => Omit<Call, "script">>> = {
    begin: () => {
      const { address, entry, lease } = this.somewhere()
      const known = this.namesOf(address)
      const { ends, taking } = this.taking(address, entry)
      return {
        keys: [
          ...[entry, lease, names.journal, names.fences],
          ...known.map(({ marker }) => marker),
          ...this.ended(address.key, ends)
        ],
        args: [
          ...taking,
          ends ? "1" : "0",
          this.nonce(),
          markerLife,
          journalLife,
          ...list(known.map(({ name }) => name))
        ]
      }
    },
    commit: () => {
      const { address, entry, lease } = this.atLease()
      const all = this.namesOf(address)
      const writes = this.chance(0.25)
      return {
        keys: [
          ...[entry, lease, names.journal, names.fences],
          ...all.map(({ marker }) => marker),
          ...this.ended(address.key, writes)
        ],
        args: [
          ...[names.released, this.holderOf(lease), this.nonce(), markerLife, this.length()],
          ...[address.version === undefined ? "0" : "1", writes ? "1" : "0", ...this.position()],
          ...[this.expires(), this.pick(tokens), "[1]", this.pick(["p", "\xc3\xa9\0\n", ""])],
          ...list(this.over()),
          ...list(all.map((one) => this.expected(one))),
          ...list(all.map(({ name }) => name))
        ]
      }
    },
    discard: () => {
      const { address, lease } = this.atLease()
      const all = this.namesOf(address)
      return {
        keys: [lease, names.journal, names.fences, ...all.map(({ marker }) => marker)],
        args: [
          ...[names.released, this.holderOf(lease), ...this.position(), this.flag(0.3)],
          ...list(this.over()),
          ...list(all.map((one) => this.expected(one))),
          ...list(all.map(({ name }) => name))
        ]
      }
    },
    invalidate: () => {
      const { modes, targets } = this.piece()
      const noting = [this.nonce(), markerLife, journalLife, this.limit()]
      return {
        keys: [names.journal, names.fences, ...targets],
        args: [names.released, names.invalidated, this.pick(["o.1 d:T", "o.2 k:a"]), ...noting, ...modes]
      }
    },
    fence: () => {
      const { modes, targets } = this.piece()
      return {
        keys: [names.journal, names.fences, ...targets],
        args: [names.released, ...this.opening(), names.invalidated, this.pick(["", "o.1 d:T"]), ...modes]
      }
    },
    capture: () => ({ keys: [this.someMarker()], args: [this.nonce(), markerLife] }),
    take: () => {
      const { address, entry, lease } = this.somewhere()
      const known = this.namesOf(address)
      const { ends, taking } = this.taking(address, entry)
      const endsHere = ends && address.version === undefined
      return {
        keys: [entry, lease, ...this.ended(address.key, endsHere)],
        args: [
          ...taking,
          endsHere ? "1" : "0",
          ...list(known.map(({ name }) => name)),
          ...list(known.map(({ marker }) => this.tokenOf(marker))),
          this.pick(["", this.holderOf(lease)])
        ]
      }
    },
    position: () => ({ keys: [names.journal, names.fences], args: [this.nonce(), journalLife] }),
    quiet: () => ({ keys: [names.journal], args: [...this.position(), ...list(this.some(tags))] }),
    store: () => {
      const { address, entry, lease } = this.atLease()
      const writes = this.chance(0.25)
      return {
        keys: [entry, lease, ...this.ended(address.key, writes)],
        args: [
          ...[names.released, this.holderOf(lease), this.flag(0.8), this.length(), this.expires()],
          ...[this.pick(tokens), "[1]", "p", address.version === undefined ? "0" : "1", writes ? "1" : "0"],
          ...[this.nonce(), markerLife],
          ...list(this.namesOf(address).map(({ marker }) => this.tokenOf(marker)))
        ]
      }
    },
    look: () => ({ keys: [this.someMarker()], args: [this.pick(["0", String(this.life(1000)), "7200000"])] }),
    note: () => ({
      keys: [names.journal, names.fences],
      args: [this.nonce(), journalLife, this.limit(), ...list(this.some(tags))]
    }),
    replace: () => ({ keys: [this.someMarker()], args: [this.mode(), this.nonce(), markerLife] }),
    remove: () => {
      const { address, entry } = this.somewhere()
      return { keys: names.ofKey(address.key, entry), args: [names.released, this.mode(), this.nonce()] }
    },
    replaceKey: () => ({ keys: [ofKey(this.pick(["a", "b"]))], args: [this.mode(), this.nonce()] }),
    open: () => ({ keys: [names.journal, names.fences], args: [...this.opening(), ...list(this.some(tags))] }),
    extend: () => ({ keys: [names.fences], args: [this.pick(ids), this.length(), markerLife] }),
    stand: () => ({
      keys: [names.fences],
      args: list(this.chance(0.5) ? this.over() : this.some(ids))
    }),
    lift: () => ({ keys: [names.fences], args: [this.pick(ids)] }),
    abandon: () => {
      const { lease } = this.atLease()
      return { keys: [lease], args: [names.released, this.holderOf(lease)] }
    },
    release: () => ({ keys: [this.atLease().lease], args: [names.released] }),
    await: () => {
      const { lease } = this.atLease()
      return { keys: [lease], args: [this.holderOf(lease)] }
    },
    fences: () => ({ keys: [names.fences], args: [] }),
    agree: () => ({ keys: [names.protocol], args: [this.pick(["1", "2"])] }),
    probe: () => ({ keys: this.chance(0.5) ? [names.probe] : [names.probe, names.journal], args: [names.released] })
  }

  private somewhere(): { readonly address: Address; readonly entry: string; readonly lease: string } {
    const address = this.pick(addresses)
    return { address, entry: names.entry(address), lease: names.lease(address) }
  }

  /** Where a load is on its way, mostly. */
  private atLease(): ReturnType<Generator["somewhere"]> {
    const leased = addresses.filter((address) => textAt(this.sight, names.lease(address)) !== undefined)
    if (leased.length === 0 || this.chance(0.15)) return this.somewhere()
    const address = this.pick(leased)
    return { address, entry: names.entry(address), lease: names.lease(address) }
  }

  private someMarker(): string {
    return this.pick([...markersOf(tags), ofKey("a")])
  }

  /** What `begin` and `take` begin with, and whether it is a write. */
  private taking(
    { version }: Address,
    entry: string
  ): { readonly taking: ReadonlyArray<string>; readonly ends: boolean } {
    const drop = this.chance(0.4)
    const force = this.chance(0.3)
    const token = this.pick(tokens)
    const seen = this.chance(0.3) ? "" : this.tokenIn(entry)
    return {
      taking: [
        ...[names.released, token, seen, drop ? "1" : "0", force ? "1" : "0", this.length()],
        version === undefined ? "0" : "1"
      ],
      ends: drop && force
    }
  }

  /** Keys and names that are invalidated, and how. */
  private piece(): { readonly targets: ReadonlyArray<string>; readonly modes: ReadonlyArray<string> } {
    const keys = this.some(["a", "b"])
    const some = this.dependencies()
    return {
      targets: [...keys.flatMap((key) => names.ofKey(key)), ...some.map(({ marker }) => marker)],
      modes: [
        ...list(keys.map(() => this.mode())),
        ...list(some.map(({ name }) => name)),
        ...list(some.map(() => this.mode()))
      ]
    }
  }

  private opening(): ReadonlyArray<string> {
    const over = this.pick(["d:T", "k:a", "o".repeat(90)])
    return [this.pick(ids), this.length(), over, this.nonce(), markerLife, journalLife, this.limit()]
  }

  /**
   * As the library would not: a list stays as long as it says, or a script would run for ever; what is left out is left
   * out at the end, where a script finds nothing.
   */
  private spoiled({ args, keys, script }: Call): Call {
    const others = args.map((one) => this.chance(0.15) && !/^\d$/.test(one) ? this.garbage() : one)
    return {
      script,
      keys: keys.map((one) => this.chance(0.1) ? this.pick(places) : one),
      args: this.chance(0.2) ? others.slice(0, this.int(args.length + 1)) : others
    }
  }

  /** Scripts that it knows how to call. */
  get scripts(): ReadonlyArray<string> {
    return Object.keys(this.calls)
  }

  /** `wild`: how many are as the library would not make them. */
  call(sight: Sight, wild: number): Call {
    this.sight = sight
    const script = this.chance(0.3) ? this.pick(loading) : this.pick(this.scripts)
    const made = { script, ...this.calls[script]!() }
    return this.chance(wild) ? this.spoiled(made) : made
  }
}

/** The position that a script gives as one text lists fences in any order. */
export const sortedPosition = (text: string): string => {
  const [epoch = "", sequence, ...fences] = text.split(" ")
  return sequence === undefined ? text : positionOf(epoch, sequence, fences)
}
