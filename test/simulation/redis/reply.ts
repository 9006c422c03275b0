/** What a server answers. Its strings are binary: one character a byte. */

/** A word that is no value, as `+OK`. */
export class Status {
  readonly ok: string

  constructor(ok: string) {
    this.ok = ok
  }
}

/** An error, as `-ERR ...`. */
export class Failure {
  readonly err: string

  constructor(err: string) {
    this.err = err
  }
}

/** An error that has ended a script, rather than being what the script gave back. */
export class Raised extends Failure {}

export type Reply = string | number | null | Status | Failure | ReadonlyArray<Reply>
