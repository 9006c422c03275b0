/** The page's "Conditional Invalidation", with its FieldTracker, and views that read what it deletes. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import * as Article from "./Article.ts"
import type { Signal } from "./Dispatch.ts"
import type { DjangoCache } from "./DjangoCache.ts"

export const articleDetail = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}`, Queries.articleRow(articleId), 3600)

export const publishedArticles = (cache: DjangoCache) =>
  cache.getOrSet("published_articles", Queries.publishedArticles, 3600)

export interface Saved {
  readonly instance: TrackedArticle
  readonly created: boolean
}

// #region tracker
/** `model_utils.FieldTracker`: compares with what this instance has loaded or saved last. */
export class FieldTracker {
  private saved: Article.Fields = {}
  private readonly fields: Article.Instance

  constructor(fields: Article.Instance) {
    this.fields = fields
    this.setSavedFields()
  }

  hasChanged(field: keyof Article.Fields): boolean {
    return this.fields[field] !== this.saved[field]
  }

  /** At the end of `save`, when the signal has been sent. */
  setSavedFields(): void {
    this.saved = { ...this.fields }
  }
}
// #endregion

export class TrackedArticle {
  readonly tracker: FieldTracker
  readonly fields: Article.Instance

  constructor(fields: Article.Instance) {
    this.fields = fields
    this.tracker = new FieldTracker(fields)
  }

  save(postSave: Signal<Saved>) {
    return Effect.gen({ self: this }, function*() {
      yield* Article.save(this.fields)
      yield* postSave.send({ instance: this, created: false })
      this.tracker.setSavedFields()
    })
  }
}

export const create = (postSave: Signal<Saved>, fields: Parameters<typeof Article.create>[0]) =>
  Effect.gen(function*() {
    const instance = new TrackedArticle(yield* Article.create(fields))
    yield* postSave.send({ instance, created: true })
    return instance
  })

export const get = (id: number) => Effect.map(Article.get(id), (fields) => new TrackedArticle(fields))

// #region conditional
/** Only invalidate if certain fields changed */
export const conditionalCacheInvalidation = (cache: DjangoCache) => ({ created, instance }: Saved) =>
  Effect.gen(function*() {
    const { fields, tracker } = instance
    if (created) {
      // New article, invalidate list caches
      yield* cache.delete("article:list")
      yield* cache.delete("recent_articles")
    } else {
      // Check if important fields changed
      if (tracker.hasChanged("published")) {
        // Published status changed
        yield* cache.delete("article:list")
        yield* cache.delete("published_articles")
      }

      if (tracker.hasChanged("title") || tracker.hasChanged("content")) {
        // Content changed, invalidate detail cache
        yield* cache.delete(`article:${fields.id}`)
      }
    }
  })
// #endregion

/** `@receiver(post_save, sender=Article)` */
export const connect = (postSave: Signal<Saved>, cache: DjangoCache): void =>
  postSave.connect(conditionalCacheInvalidation(cache))

/** The same, put off until the commit, as `transaction.on_commit` does: it is given what is run then. */
export const connectOnCommit = (
  postSave: Signal<Saved>,
  cache: DjangoCache,
  onCommit: (run: Effect.Effect<unknown>) => void
): void => {
  const handle = conditionalCacheInvalidation(cache)
  postSave.connect((sent) => Effect.sync(() => onCommit(Effect.suspend(() => handle(sent)))))
}
