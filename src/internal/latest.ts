/** Remembers something of so many keys: where there are more, the one that was set the longest ago is forgotten. */
export class Latest<A> {
  private readonly all = new Map<string, A>()
  private readonly most: number

  constructor(most: number) {
    this.most = most
  }

  get(key: string): A | undefined {
    return this.all.size === 0 ? undefined : this.all.get(key)
  }

  set(key: string, value: A): void {
    this.all.delete(key)
    this.all.set(key, value)
    if (this.all.size > this.most) this.all.delete(this.all.keys().next().value!)
  }

  delete(key: string): void {
    if (this.all.size > 0) this.all.delete(key)
  }
}
