/** The page's "Template Fragment Invalidation", and the `{% cache %}` of the templates that it is about. */
import { Effect } from "effect"
import type { DjangoCache } from "./DjangoCache.ts"
import { makeTemplateFragmentKey } from "./DjangoCache.ts"

/** `{% cache 3600 name vary_on... %} ... {% endcache %}` */
export const fragment = <E, R>(
  cache: DjangoCache,
  fragmentName: string,
  varyOn: ReadonlyArray<unknown>,
  render: Effect.Effect<string, E, R>
) => cache.getOrSet(makeTemplateFragmentKey(fragmentName, varyOn), render, 3600)

// #region fragments
/** Helper to invalidate template fragments */
export const invalidateTemplateFragment = (cache: DjangoCache, fragmentName: string, ...args: ReadonlyArray<unknown>) =>
  Effect.suspend(() => {
    const key = makeTemplateFragmentKey(fragmentName, args)
    return Effect.as(cache.delete(key), key)
  })

// Usage
export const invalidateSidebar = (cache: DjangoCache) => invalidateTemplateFragment(cache, "sidebar")

export const invalidateArticle = (cache: DjangoCache, article: { readonly id: number }) =>
  invalidateTemplateFragment(cache, "article", article.id)

export const invalidatePostDetail = (cache: DjangoCache, post: { readonly id: number; readonly updatedAt: Date }) =>
  invalidateTemplateFragment(cache, "post_detail", post.id, post.updatedAt.toISOString())
// #endregion
