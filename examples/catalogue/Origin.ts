/**
 * One Postgres for several processes: the parent has it, its children ask over the channel that Node keeps between them.
 */
import type { ChildProcess } from "node:child_process"
import type { Connection, Postgres } from "./Database.ts"

// -----------------------------------------------------------------------------
// questions and answers
// -----------------------------------------------------------------------------

type Message =
  | { readonly _tag: "Question"; readonly id: number; readonly question: unknown }
  | { readonly _tag: "Answer"; readonly id: number; readonly answer: unknown }
  | { readonly _tag: "Failure"; readonly id: number; readonly message: string }

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

/** Answers what the other end asks, and gives a way to ask it. Who has asked an end that goes away is told so. */
export const converse = (
  end: ChildProcess | NodeJS.Process,
  reply: (question: unknown) => Promise<unknown>
): (question: unknown) => Promise<unknown> => {
  const asked = new Map<number, Waiting>()
  let count = 0
  const send = (message: Message): void => {
    if (end.connected) end.send!(message)
  }
  const answer = ({ id, question }: Message & { readonly _tag: "Question" }): void => {
    reply(question).then(
      (answer) => send({ _tag: "Answer", id, answer }),
      (error) => send({ _tag: "Failure", id, message: error instanceof Error ? error.message : String(error) })
    )
  }
  end.on("message", (message: Message) => {
    if (message._tag === "Question") return answer(message)
    const waiting = asked.get(message.id)
    asked.delete(message.id)
    if (message._tag === "Answer") waiting?.resolve(message.answer)
    else waiting?.reject(new Error(message.message))
  })
  end.on("disconnect", () => {
    for (const waiting of asked.values()) waiting.reject(new Error("the other process is gone"))
    asked.clear()
  })
  return (question) => {
    if (!end.connected) return Promise.reject(new Error("the other process is gone"))
    return new Promise((resolve, reject) => {
      asked.set(++count, { resolve, reject })
      send({ _tag: "Question", id: count, question })
    })
  }
}

// -----------------------------------------------------------------------------
// a Postgres at the other end
// -----------------------------------------------------------------------------

/** What `remote` asks. */
export type Question =
  | {
    readonly _tag: "Query"
    readonly sql: string
    readonly parameters: Array<unknown>
    readonly within: number | undefined
  }
  | { readonly _tag: "Begin" }
  | { readonly _tag: "End"; readonly within: number; readonly how: "commit" | "rollback" }

interface Transaction {
  readonly connection: Connection
  readonly end: (how: "commit" | "rollback") => Promise<void>
}

/** Answers what `remote` asks; `before` may hold a query up. */
export const serve = (postgres: Postgres, before: (sql: string) => Promise<void>) => {
  const transactions = new Map<number, Transaction>()
  let count = 0

  const begin = (): Promise<number> =>
    new Promise((begun, failed) => {
      const done = postgres.transaction(async (connection) => {
        const how = await new Promise<"commit" | "rollback">((ended) => {
          const within = ++count
          const end: Transaction["end"] = (how) => {
            transactions.delete(within)
            ended(how)
            return done
          }
          transactions.set(within, { connection, end })
          begun(within)
        })
        if (how === "rollback") await connection.rollback()
      })
      done.catch(failed)
    })

  const transactionOf = (within: number): Transaction => {
    const transaction = transactions.get(within)
    if (transaction === undefined) throw new Error("there is no such transaction")
    return transaction
  }

  return async (question: Question): Promise<unknown> => {
    if (question._tag === "Begin") return begin()
    if (question._tag === "End") return transactionOf(question.within).end(question.how)
    const { parameters, sql, within } = question
    await before(sql)
    const connection = within === undefined ? postgres : transactionOf(within).connection
    return (await connection.query(sql, parameters)).rows
  }
}

/** The Postgres that is served at the other end. */
export const remote = (ask: (question: Question) => Promise<unknown>): Postgres => {
  const connection = (within: number | undefined): Connection => ({
    query: async (sql, parameters) => ({
      rows: await ask({ _tag: "Query", sql, parameters, within }) as ReadonlyArray<unknown>
    })
  })
  return {
    ...connection(undefined),
    transaction: async (run) => {
      const within = await ask({ _tag: "Begin" }) as number
      let how: "commit" | "rollback" = "commit"
      const rollback = async () => {
        how = "rollback"
      }
      const result = await run({ ...connection(within), rollback }).catch(async (error) => {
        await ask({ _tag: "End", within, how: "rollback" })
        throw error
      })
      await ask({ _tag: "End", within, how })
      return result
    }
  }
}
