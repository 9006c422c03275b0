import * as Effect from "effect/Effect"
import { toHex } from "../randomId.ts"

/** The SHA-1 of a text in hexadecimal: by it a server remembers a script. */
export const sha1 = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-1", new TextEncoder().encode(text))),
    (digest) => toHex(new Uint8Array(digest))
  )
