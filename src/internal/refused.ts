import { InvalidInput } from "../InvalidInput.ts"

/** The error of an input that a function refuses, for `throw refused(...)`. */
export const refused = (where: string, reason: InvalidInput["reason"], message: string): InvalidInput =>
  new InvalidInput({ where, reason, message: `${where}: ${message}` })
