/**
 * How keys are stored: `name:part:part`.
 */
import type { Pattern } from "../Key.ts"
import * as Check from "./check.ts"
import { escapePart } from "./escape.ts"

/** The stored form of a definition's name. */
export const encodeName = (name: string): string => escapePart(Check.name("Cached.make", "a cached value", name))

/** Prints a pattern with `*` for what it leaves open: `films:drama:*`. */
export const formatPattern = (pattern: Pattern): string =>
  [pattern.name, ...pattern.parts.map((part) => part ?? "*")].join(":")
