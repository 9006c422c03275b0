/** Numbers that look like chance, and are the same for a seed. */
export interface Random {
  /** At least 0, and less than 1. */
  next(): number
  /** A whole number below `n`. */
  int(n: number): number
  pick<A>(all: ReadonlyArray<A>): A
  chance(p: number): boolean
  /** Another one, whose numbers do not depend on how many are drawn from this one afterwards. */
  fork(): Random
}

class Mulberry implements Random {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  // Mulberry32, by Tommy Ettinger.
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    const a = this.state
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  int(n: number): number {
    return Math.floor(this.next() * n)
  }

  pick<A>(all: ReadonlyArray<A>): A {
    return all[this.int(all.length)]!
  }

  chance(p: number): boolean {
    return this.next() < p
  }

  fork(): Random {
    return new Mulberry(this.int(2 ** 32))
  }
}

export const randomOf = (seed: number): Random => new Mulberry(seed)
