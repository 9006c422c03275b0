/**
 * Which files of tests run first. Without a run before it, Vitest takes the largest; these are small and take longest,
 * and begun last they would keep one core busy while the others have nothing left to do.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

export const longest = [
  "explore/explorer.servers",
  "histories/histories.servers",
  "stampede/page.servers",
  "RedisCache/payloads.servers",
  "examples/catalogue.servers",
  "simulation/compare/compare.servers",
  "stampede/simulation.slow",
  "explore/explorer.slow",
  "articles/oneField.slow",
  "stampede/theory.slow",
  "RedisCache/contract.servers",
  "MemoryCache/heap.slow",
  "Policy/laws",
  "Contract/laws",
  "explore/explorer",
  "strategies/early-refresh.servers"
].map((name) => `test/${name}.test.ts`)

const rank = ({ moduleId }: TestSpecification): number => {
  const place = longest.findIndex((file) => moduleId.endsWith(`/${file}`))
  return place === -1 ? longest.length : place
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    return sorted.sort((a, b) => rank(a) - rank(b))
  }
}
