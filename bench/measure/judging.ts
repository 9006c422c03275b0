/**
 * A plan against the tree that it was made of.
 */
import { Policy, type Verdict } from "../../src/index.ts"
import * as Plan from "../../src/internal/plan.ts"
import * as Tree from "../../src/internal/policy/tree.ts"
import type { Stamp } from "../../src/internal/stamp.ts"
import { judgeTree } from "../../test/support/judgeTree.ts"
import { consume, random, type Run, type Table } from "./harness.ts"
import { lifetime, three, type User, userOf } from "./subjects.ts"

type UserPolicy = Policy.Policy<number, User>

const ttl = Policy.ttl<number, User>
const byTags = Policy.tagged<number, User>(three)

const policies: ReadonlyArray<readonly [string, UserPolicy]> = [
  ["small: ttl and a tag", Policy.and(ttl("1 hour"), Policy.tagged("users"))],
  [
    "medium: ttl with grace and jitter, 3 tags, tags of the value, a version, xfetch",
    Policy.all<number, User>(
      ttl("1 hour", { staleFor: "10 minutes", onErrorFor: "1 day", jitter: 0.1 }),
      byTags,
      Policy.tagged({ fromValue: (user: User) => user.groups }, { severity: "Stale" }),
      Policy.versioned("v2", { name: "schema" }),
      Policy.xfetch()
    )
  ],
  [
    "or: a short ttl, or a long one with tags, or a version",
    Policy.any<number, User>(
      ttl("5 minutes"),
      Policy.and(ttl("1 hour", { staleFor: "1 hour" }), byTags),
      Policy.all(ttl("1 day"), Policy.versioned("v2", { name: "schema" }), Policy.tagged("users"))
    )
  ]
]

/** An entry, and what a read of it sees. */
interface Situation {
  readonly entry: { readonly key: number; readonly value: User; readonly stamp: Stamp }
  readonly observation: Plan.Observation
  readonly armed: Plan.Armed
}

const epoch = Date.UTC(2024, 0, 1)

/** Mostly fresh, some past their time, one in eight with a tag that changed. */
const situationsOf = (policy: UserPolicy): ReadonlyArray<Situation> => {
  const draw = random()
  const { plan } = Tree.of(policy)
  return Array.from({ length: 256 }, (_, i) => {
    const value = userOf(i)
    const known = Plan.knownDependencies(plan, i)
    const stamp: Stamp = {
      storedAt: epoch + i,
      beganAt: epoch + i,
      duration: 50 + draw() * 100,
      jitter: draw(),
      versions: plan.constants,
      dependencies: [...known, ...Plan.foundDependencies(plan, i, value, known)],
      shape: "",
      failure: false
    }
    const u = 1 - draw()
    const changed = i % 8 === 0 && known.length > 0 ? new Map([[known[0]!, "hard" as const]]) : undefined
    return {
      entry: { key: i, value, stamp },
      observation: { now: stamp.storedAt + draw() * lifetime * 1.2, draw: () => u, changed, versions: stamp.versions },
      armed: Plan.arm(plan, i, value, stamp)
    }
  })
}

const byPlan = ({ armed, observation: { changed, draw, now, versions } }: Situation): Verdict.Verdict =>
  Plan.judge(armed, now, draw, changed, versions)

const byTree = (policy: UserPolicy) => ({ entry, observation }: Situation): Verdict.Verdict =>
  judgeTree(policy, entry, observation)

const armAndJudge = (policy: UserPolicy) => ({ entry, observation }: Situation): Verdict.Verdict =>
  Policy.judge(policy, { ...entry, ...observation })

const told = { Fresh: { id: 1 }, Refresh: { id: 2 }, Stale: { id: 3 }, OnError: { id: 4 }, Dead: { id: 5 } }

const over = (situations: ReadonlyArray<Situation>, judge: (situation: Situation) => Verdict.Verdict): Run => (n) => {
  for (let i = 0; i < n; i++) consume(told[judge(situations[i & 255]!)])
}

const mustAgree = (name: string, policy: UserPolicy, situations: ReadonlyArray<Situation>): void => {
  for (const situation of situations) {
    if (byPlan(situation) !== byTree(policy)(situation)) throw new Error(`plan and tree disagree about ${name}`)
  }
}

export const judgingTables = (): ReadonlyArray<Table> =>
  policies.map(([name, policy]) => {
    const situations = situationsOf(policy)
    mustAgree(name, policy, situations)
    const loop = "the loop alone"
    return {
      title: `judging an entry, ${name}`,
      note: "Arming happens once for each entry and process; judging at every read.",
      reference: "a walk of the tree",
      baseline: loop,
      contenders: [
        { name: loop, run: over(situations, () => "Fresh") },
        { name: "a walk of the tree", run: over(situations, byTree(policy)) },
        { name: "Plan.judge, armed", run: over(situations, byPlan) },
        { name: "Plan.arm and Plan.judge", run: over(situations, armAndJudge(policy)) }
      ]
    }
  })
