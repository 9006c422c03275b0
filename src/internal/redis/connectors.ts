/**
 * How the clients of the package make their connections, where its own way is
 * not enough: it keeps to itself why a Sentinel or a node of a cluster could not
 * be reached, and takes the password of a cluster's nodes once.
 */
import { reasonOf } from "./link.ts"
import type { Raw } from "./raw.ts"

/** What the package exports, as far as it is used, and what connections are made with. */
export interface Module {
  readonly Redis: new(urlOrOptions: string | object, options?: object) => Raw
  readonly Cluster: new(nodes: ReadonlyArray<unknown>, options: object) => Raw
  readonly SentinelConnector: new(options: object) => SentinelConnector
  readonly AbstractConnector: new(disconnectTimeout: number) => Connector
}

/** `node:net` and `node:tls`. */
export interface Sockets {
  readonly plain: (options: object) => Socket
  readonly secure: (options: object) => Socket
}

interface Socket {
  once(event: "error", listener: (error: Error) => void): unknown
}

type Emit = (event: string, error: Error) => void

interface Connector {
  connecting: boolean
  stream: unknown
  firstError?: Error
}

interface SentinelConnector {
  connect(emit: Emit): Promise<unknown>
  connectToSentinel(endpoint: Endpoint, options?: object): Raw
}

interface Endpoint {
  readonly host?: string
  readonly port?: number
}

/**
 * A timer of the package runs for so many milliseconds after each disconnecting,
 * and keeps the process.
 */
export const disconnectWithin = 50

/** As that of the package, but tells why a Sentinel could not be reached, and leaves no timer behind. */
export const sentinelConnector = ({ SentinelConnector }: Module) =>
  class extends SentinelConnector {
    tell: Emit | undefined

    override connect(emit: Emit): Promise<unknown> {
      this.tell = emit
      return super.connect(emit)
    }

    override connectToSentinel(endpoint: Endpoint, options?: object): Raw {
      const raw = super.connectToSentinel(endpoint, { disconnectTimeout: disconnectWithin, ...options })
      raw.on("error", (error: unknown) => {
        this.tell?.("sentinelError", new Error(`${endpoint.host}:${endpoint.port}: ${reasonOf(error)}`))
      })
      return raw
    }
  }

interface NodeOptions {
  readonly host?: string
  readonly port?: number
  readonly family?: number
  readonly tls?: object | boolean
  readonly disconnectTimeout: number
}

/** Connects to a node of a cluster as the package does, once `before` is done, and tells why it could not. */
export const nodeConnector = (
  { AbstractConnector }: Module,
  { plain, secure }: Sockets,
  before: () => Promise<void>,
  tell: (error: Error, node: string) => void
) =>
  class extends AbstractConnector {
    readonly options: NodeOptions

    constructor(options: NodeOptions) {
      super(options.disconnectTimeout)
      this.options = options
    }

    async connect(): Promise<unknown> {
      const { family, host, port, tls } = this.options
      this.connecting = true
      await before()
      if (!this.connecting) throw new Error("Connection is closed.")
      const to = { host, port, family, ...(typeof tls === "object" ? tls : {}) }
      const stream = tls ? secure(to) : plain(to)
      stream.once("error", (error) => {
        this.firstError = error
        tell(error, `${host}:${port}`)
      })
      this.stream = stream
      return stream
    }
  }

/** A text that the package asks for when it sends it, so that it may change between two connections. */
export const late = (text: () => string): object => ({ toString: text })
