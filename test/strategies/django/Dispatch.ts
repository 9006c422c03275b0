/** Django's signals, as far as the programs of the page use them: whoever is connected is called at once, where it was sent. */
import { Effect } from "effect"
import * as Article from "./Article.ts"

export type Receiver<A> = (sent: A) => Effect.Effect<unknown>

/** A receiver is known by its `dispatch_uid`, or, without one, by itself. */
export class Signal<A> {
  private readonly receivers = new Map<unknown, Receiver<A>>()

  connect(receiver: Receiver<A>, dispatchUid?: string): void {
    this.receivers.set(dispatchUid ?? receiver, receiver)
  }

  /** Tells whether there was such a receiver. */
  disconnect(by: Receiver<A> | string): boolean {
    return this.receivers.delete(by)
  }

  send(sent: A): Effect.Effect<void> {
    return Effect.forEach([...this.receivers.values()], (receiver) => receiver(sent), { discard: true })
  }
}

export interface Saved {
  readonly instance: Article.Instance
  readonly created: boolean
}

export interface Deleted {
  readonly instance: Article.Instance
}

/** `instance` is whose manager was used: an article, or with `reverse` a tag. A clear has no `pkSet`. */
export interface Related {
  readonly instance: { readonly id: number }
  readonly action: "post_add" | "post_remove" | "post_clear"
  readonly reverse: boolean
  readonly pkSet: ReadonlyArray<number> | undefined
}

/** The signals of a process: all of it shares them. */
export class Signals {
  readonly postSave = new Signal<Saved>()
  readonly postDelete = new Signal<Deleted>()
  readonly m2mChanged = new Signal<Related>()

  /** `Article.objects.create(...)` */
  create(fields: Parameters<typeof Article.create>[0]) {
    return Effect.tap(Article.create(fields), (instance) => this.postSave.send({ instance, created: true }))
  }

  /** `article.save()` */
  save(instance: Article.Instance) {
    return Effect.andThen(Article.save(instance), this.postSave.send({ instance, created: false }))
  }

  /** `article.delete()` */
  remove(instance: Article.Instance) {
    return Effect.andThen(Article.remove(instance), this.postDelete.send({ instance }))
  }
}
