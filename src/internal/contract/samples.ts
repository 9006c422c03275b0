/** Payloads and inputs that a careless store would change, or take for one another. */

export const texts: ReadonlyArray<string> = [
  "",
  " ",
  "null",
  "0",
  "{\"a\":[1,2,{\"b\":null}]}",
  "line\r\nline\ttab\0nul",
  "\"quotes\" and \\ and %25",
  "äöü ß 東京 🎬👩‍👩‍👧",
  "\u2028\u2029\u200b\ufeff",
  "x".repeat(1_000_000)
]

export const values: ReadonlyArray<unknown> = [
  ...texts,
  undefined,
  null,
  0,
  -0,
  Number.NaN,
  1n,
  true,
  Symbol.for("contract"),
  new Date(0),
  [1, [2, [3]]],
  { a: { b: undefined } },
  new Map([["a", new Set([1])]]),
  () => 1
]

/** Inputs that a careless encoding, or a pattern's syntax, would take for one another. */
export const awkward: ReadonlyArray<ReadonlyArray<string>> = [
  ["a"],
  ["A"],
  ["a "],
  ["a*"],
  ["*"],
  ["a:b"],
  ["a", "b"],
  ["a%3Ab"],
  ["a%253Ab"],
  ["{a}"],
  ["{a}b"],
  ["[a]"],
  ["[^a]"],
  ["?"],
  ["a\\"],
  ["a\0"],
  ["a\n"],
  ["é"],
  ["e\u0301"],
  ["🎬"],
  ["\ud83c"],
  ["\ufffd"],
  ["a".repeat(10_000)],
  [`${"a".repeat(9_999)}b`],
  ["__proto__"],
  ["constructor"]
]
