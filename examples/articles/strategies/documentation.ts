/** What depends on what, asked of the policies. */
import * as Catalogue from "../../../src/Catalogue.ts"
import { Cached } from "../../../src/index.ts"
import * as Model from "../Model.ts"
import * as Site from "../Site.ts"

// #region catalogue
export const catalogue = Catalogue.make(Site.reads.map(({ cached }) => cached), {
  entities: [
    ...[Model.Articles, Model.Categories, Model.Authors, Model.Tags, Model.Users],
    ...[Model.UsersSettings, Model.Products, Model.Orders, Model.Settings]
  ]
})

/** What a change of this field may end. Fields that no policy names stand together, as all others. */
export const invalidatedBy = (entity: string, field: string): ReadonlyArray<string> =>
  catalogue.changes.filter((change) => change.entity === entity && change.names.includes(field))
    .flatMap(({ invalidates }) => invalidates.map(({ name }) => name))
// #endregion

// #region describe
/** What ends one of them, for a review. */
export const describeArticle = Cached.describe(Site.article).toString()
// #endregion
