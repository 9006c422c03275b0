/**
 * A browser without a window, that asks nothing of anybody but what it is told to open.
 */
import { type Browser, chromium } from "playwright-core"
import { browserBinary } from "./browserBinary.ts"

/** Its own sandbox does not work for root, who needs none. */
const flags = [
  ...process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Where /dev/shm is small, as in a container.
  "--disable-dev-shm-usage"
]

export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: browserBinary().path, headless: true, args: flags })
