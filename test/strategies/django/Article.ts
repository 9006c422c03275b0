/**
 * Django's model of an article, as far as the programs of the page use it. `save` writes every column, as Django's does
 * unless told otherwise.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Article } from "../../../examples/articles/Model.ts"
import { articleRow, rows } from "../../../examples/articles/Queries.ts"

/** An instance is changed in place. */
export type Instance = { -readonly [K in keyof Article]: Article[K] }

export type Fields = Partial<Pick<Instance, "title" | "content" | "categoryId" | "authorId" | "published">>

/** `Article.objects.get(id=...)` */
export const get = (id: number) => Effect.map(articleRow(id), (row): Instance => ({ ...row }))

/** `super().save()` */
export const save = ({ id, title, content, categoryId, authorId, published }: Instance) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`update articles set ${sql.update({ title, content, categoryId, authorId, published })} where id = ${id}`
  )

/** `Article.objects.create(...)` */
export const create = (fields: Required<Omit<Fields, "published">> & Pick<Fields, "published">) =>
  Effect.map(
    rows(Article, (sql) => sql`insert into articles ${sql.insert(fields)} returning *`),
    ([row]): Instance => ({ ...row! })
  )

/** `super().delete()` */
export const remove = ({ id }: Instance) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`delete from articles where id = ${id}`)
