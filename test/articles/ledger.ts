/**
 * What readers were answered while others wrote, and whether they might be.
 *
 * A write has three moments: from when it can be seen (just before its commit), when it is committed, and when it is told,
 * which is when it has returned to who wrote. A read that began after that must see it; one that began before may see it
 * or not.
 */
import type { Answer } from "./asking.ts"

/** The database after a commit. Moments are counted; nothing here is a time. */
export interface State {
  readonly name: string
  readonly answers: ReadonlyMap<string, Answer>
  readonly seen: number
  told: number
}

export interface Read {
  readonly reader: string
  readonly key: string
  readonly answer: Answer
  readonly began: number
  readonly ended: number
}

export interface Violation {
  readonly read: Read
  /** The write that it should have seen. */
  readonly unseen: string
}

/** States in the order of their commits, and reads in any. */
export class Ledger {
  private moment = 0
  readonly states: Array<State>
  readonly reads: Array<Read> = []

  constructor(answers: ReadonlyMap<string, Answer>) {
    this.states = [{ name: "the beginning", answers, seen: -1, told: -1 }]
  }

  readonly now = (): number => ++this.moment

  committing(name: string, answers: ReadonlyMap<string, Answer>): State {
    const state = { name, answers, seen: this.now(), told: Infinity }
    this.states.push(state)
    return state
  }

  read(reader: string, key: string, answer: Answer, began: number): void {
    this.reads.push({ reader, key, answer, began, ended: this.now() })
  }

  /** The write that a read should have seen and has not, going back from the latest that it may have seen. */
  private unseen({ answer, began, ended, key }: Read): string | undefined {
    for (let i = this.states.length - 1; i >= 0; i--) {
      const { answers, name, seen, told } = this.states[i]!
      if (seen > ended) continue
      if (answers.get(key) === answer) return undefined
      // It was told of before the read, and changed the answer: nothing older may be seen.
      if (told < began && answers.get(key) !== this.states[i - 1]?.answers.get(key)) return name
    }
    return "any: there never was such an answer"
  }

  violations(): ReadonlyArray<Violation> {
    return this.reads.flatMap((read) => {
      const unseen = this.unseen(read)
      return unseen === undefined ? [] : [{ read, unseen }]
    })
  }

  /** Reads that were answered while a write that changed their answer was committed and not yet told. */
  contested(): number {
    return this.reads.filter(({ began, ended, key }) =>
      this.states.some(({ answers, seen, told }, i) =>
        seen < ended && told > began && i > 0 && answers.get(key) !== this.states[i - 1]!.answers.get(key)
      )
    ).length
  }
}
