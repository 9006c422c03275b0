/**
 * Commands and bytes that an operation costs, counted by the server.
 *
 * Each operation is done twice as often as needed: once while the server tells
 * every command (`MONITOR`), and once while it only counts bytes.
 */
import { Redis } from "ioredis"

export interface Traffic {
  readonly name: string
  readonly operation: string
  /** Commands that the client sent, by name, per operation. */
  readonly sent: Readonly<Record<string, number>>
  /** Commands that scripts ran at the server, per operation. */
  readonly scripted: number
  /** Bytes per operation that came to the server, and that it gave. */
  readonly bytesIn: number
  readonly bytesOut: number
}

interface Bytes {
  readonly input: number
  readonly output: number
}

const bytesNow = async (redis: Redis): Promise<Bytes> => {
  const text = await redis.info("stats")
  const read = (field: string): number => Number(new RegExp(`${field}:(\\d+)`).exec(text)![1])
  return { input: read("total_net_input_bytes"), output: read("total_net_output_bytes") }
}

const difference = (a: Bytes, b: Bytes): Bytes => ({ input: b.input - a.input, output: b.output - a.output })

/** What is sent to look after this, and is no part of what is measured. */
const ownCost = async (redis: Redis): Promise<Bytes> => {
  const first = await bytesNow(redis)
  return difference(first, await bytesNow(redis))
}

const counted = async (url: string, redis: Redis, act: () => Promise<unknown>) => {
  const monitor = await new Redis(url, { retryStrategy: null }).monitor()
  const sent = new Map<string, number>()
  let scripted = 0
  let end = (): void => {}
  const ended = new Promise<void>((resolve) => end = resolve)
  const mark = `end of ${Math.trunc(performance.now() * 1000)}`
  monitor.on("monitor", (_time: string, args: ReadonlyArray<string>, source: string) => {
    if (args[1] === mark) return end()
    const name = args[0]!.toUpperCase()
    if (source === "lua") scripted++
    else sent.set(name, (sent.get(name) ?? 0) + 1)
  })
  await act()
  await redis.echo(mark)
  await ended
  monitor.disconnect()
  return { sent, scripted }
}

/**
 * What `times` operations cost, each. `prepare` runs before either of the two
 * rounds, and is not counted.
 */
export const trafficOf = async (
  url: string,
  { act, name, operation, prepare, times }: {
    readonly name: string
    readonly operation: string
    readonly times: number
    readonly prepare: () => Promise<unknown>
    readonly act: () => Promise<unknown>
  }
): Promise<Traffic> => {
  const redis = new Redis(url)
  try {
    await prepare()
    const { scripted, sent } = await counted(url, redis, act)
    await prepare()
    const own = await ownCost(redis)
    const before = await bytesNow(redis)
    await act()
    const { input, output } = difference(before, await bytesNow(redis))
    const each = (count: number): number => count / times
    return {
      name,
      operation,
      sent: Object.fromEntries([...sent].map(([command, count]) => [command, each(count)])),
      scripted: each(scripted),
      bytesIn: each(input - own.input),
      bytesOut: each(output - own.output)
    }
  } finally {
    redis.disconnect()
  }
}
