/**
 * A colour for each strategy, the same in every picture: dark enough on white,
 * bright enough on black. No two hundred eyes tell fourteen colours apart, so
 * whatever has a colour has its name beside it, too.
 */

type Pair = readonly [light: string, dark: string]

export const palette: Readonly<Record<string, Pair>> = {
  uncached: ["#767676", "#9b9b9b"],
  plain: ["#c43c00", "#ff7b45"],
  jitter: ["#9c6400", "#f2ab3c"],
  django: ["#a8437a", "#f291c5"],
  "xfetch-published": ["#1f7fb8", "#66c2ff"],
  "single-flight": ["#7d6e00", "#d8c63c"],
  "xfetch-alone": ["#5a63c7", "#a3adff"],
  lease: ["#00806a", "#27cfa9"],
  "swr-alone": ["#5a8212", "#a9d95c"],
  swr: ["#2b7a2f", "#6ed273"],
  "refresh-80": ["#7b5b3c", "#cfa87f"],
  xfetch: ["#1546b4", "#5b93ff"],
  advised: ["#5b2aa3", "#ba90ff"],
  soft: ["#96186a", "#ff77bf"]
}

/** For what is not of this library, in the order in which it is met. */
export const others: ReadonlyArray<Pair> = [
  ["#52677a", "#a5bccf"],
  ["#7d4a4a", "#dba3a3"],
  ["#35707a", "#8ccbd6"],
  ["#6a5a88", "#c1b1de"],
  ["#686a25", "#cdd081"],
  ["#4f4f4f", "#c8c8c8"]
]

const met: Array<string> = []

const pairOf = (id: string): Pair => {
  const mine = palette[id]
  if (mine !== undefined) return mine
  if (!met.includes(id)) met.push(id)
  return others[met.indexOf(id) % others.length]!
}

/** As CSS: it follows the theme by itself. */
export const colorOf = (id: string): string => `var(--s-${id}, currentColor)`

/** Makes the colours known to the page. */
export const declare = (ids: ReadonlyArray<string>): void => {
  for (const id of ids) {
    const [light, dark] = pairOf(id)
    document.documentElement.style.setProperty(`--s-${id}`, `light-dark(${light}, ${dark})`)
  }
}
