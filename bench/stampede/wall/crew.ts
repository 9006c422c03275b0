/**
 * The processes: started once, and used by one contender after another.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { ToParent, ToWorker } from "./messages.ts"
import type { Origin } from "./origin.ts"

type Answer = Exclude<ToParent, { readonly _tag: "Load" | "Failed" }>

/** A process that is asked one thing at a time, and whose loads the origin does. */
export class Worker {
  origin: Origin | undefined
  readonly child: ChildProcess
  private awaited: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined
  private failure: Error | undefined

  constructor() {
    const env = { ...process.env }
    delete env["NODE_OPTIONS"]
    this.child = fork(fileURLToPath(new URL("worker.ts", import.meta.url)), [], {
      env,
      execArgv: [],
      // Warnings of libraries go to where nobody reads them, errors to where they are seen.
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      // Numbers may be infinite.
      serialization: "advanced"
    })
    this.child.on("message", (message: ToParent) => {
      switch (message._tag) {
        case "Load":
          return void this.load(message.name)
        case "Failed":
          return this.fail(new Error(`a process failed: ${message.message}`))
        default: {
          const { awaited } = this
          this.awaited = undefined
          return awaited?.resolve(message)
        }
      }
    })
    this.child.on("error", (error) => this.fail(error))
    this.child.on("exit", (code, signal) => this.fail(new Error(`a process ended: ${code ?? signal}`)))
  }

  private fail(error: Error): void {
    this.failure ??= error
    this.awaited?.reject(this.failure)
    this.awaited = undefined
  }

  private async load(name: number): Promise<void> {
    const good = await this.origin!.load()
    this.send({ _tag: "Loaded", name, good })
  }

  private send(message: ToWorker): void {
    if (this.child.connected) this.child.send(message, () => undefined)
  }

  /** What it says next. */
  next(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.failure === undefined) this.awaited = { resolve, reject }
      else reject(this.failure)
    })
  }

  ask(message: ToWorker): Promise<Answer> {
    const answer = this.next()
    this.send(message)
    return answer
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, "exit")
    this.child.kill("SIGKILL")
    await exited
  }
}

export interface Crew {
  readonly workers: ReadonlyArray<Worker>
  readonly end: () => Promise<void>
}

export const startCrew = async (size: number): Promise<Crew> => {
  const workers = Array.from({ length: size }, () => new Worker())
  const end = async (): Promise<void> => void await Promise.all(workers.map((one) => one.end()))
  try {
    await Promise.all(workers.map((one) => one.next()))
    return { workers, end }
  } catch (error) {
    await end()
    throw error
  }
}
