/**
 * XFetch in closed form: Vattani, Chierichetti, Lowenstein, "Optimal
 * Probabilistic Cache Stampede Prevention", PVLDB 8(8), 2015, and what follows
 * from it for any rate.
 *
 * Requests come as a Poisson process. `n` is how many come during a load, and
 * `beta` is that of XFetch: a request that comes the time `s` before the end of
 * an entry whose load takes `d` begins a load with the chance
 * `exp(-s / (beta d))`.
 *
 * All follows from one substitution. The first that is drawn is drawn the time
 * `S` before the end with `P(S < s) = exp(-x)`, `x = n beta exp(-s / (beta d))`:
 * so `x` is exponential with the mean 1, as long as it is below `n beta`. Above
 * it nobody is drawn, and the first request after the end finds nothing.
 */

/** The chance that of an expiry nobody is drawn before it. */
export const chanceOfMiss = (n: number, beta: number): number => Math.exp(-n * beta)

/** How many loads an expiry makes on average when each request is for itself and `n` is large, whatever it is. */
export const meanLoads = (beta: number): number => Math.exp(1 / beta)

/** The chance that an expiry makes `k` loads, from 1 on, when `n` is large: geometric. */
export const chanceOfLoads = (k: number, beta: number): number => {
  const p = Math.exp(-1 / beta)
  return p * (1 - p) ** (k - 1)
}

// Simpson's rule. What is integrated here is smooth, and bends where x is about 1.
const integrate = (f: (x: number) => number, from: number, to: number): number => {
  if (to <= from) return 0
  const steps = 2 * Math.ceil(200 + 50 * (to - from))
  const width = (to - from) / steps
  let sum = f(from) + f(to)
  for (let i = 1; i < steps; i++) sum += f(from + i * width) * (i % 2 === 0 ? 2 : 4)
  return sum * width / 3
}

/**
 * How many more loads are begun on average while the first runs, which was
 * begun at `x`. The end of the entry may come meanwhile: from then on every
 * request loads.
 */
const others = (n: number, beta: number, x: number): number => {
  const left = beta * Math.log(n * beta / x) // in loads
  return left >= 1
    ? x * (Math.exp(1 / beta) - 1)
    : n * beta - x + n * (1 - left)
}

/** The mean of `f(others)` over all expiries. */
const overExpiries = (n: number, beta: number, f: (others: number) => number): number => {
  const last = n * beta
  const bend = last * Math.exp(-1 / beta)
  const weighed = (x: number) => Math.exp(-x) * f(others(n, beta, Math.max(x, Number.MIN_VALUE)))
  // What lies above 50 weighs nothing.
  return integrate(weighed, 0, Math.min(bend, 50)) + integrate(weighed, bend, Math.min(last, 50)) +
    chanceOfMiss(n, beta) * f(n)
}

/** How many loads an expiry makes on average when each request is for itself, for any `n`. */
export const exactMeanLoads = (n: number, beta: number): number => 1 + overExpiries(n, beta, (others) => others)

const poisson = (k: number, mean: number): number => {
  let chance = Math.exp(-mean)
  for (let i = 1; i <= k; i++) chance *= mean / i
  return chance
}

/** The chance that an expiry makes `k` loads, from 1 on, for any `n`. */
export const exactChanceOfLoads = (k: number, n: number, beta: number): number =>
  overExpiries(n, beta, (others) => poisson(k - 1, others))

const euler = 0.5772156649015329

/** How long before the end the first load begins on average, in loads, when `n` is large: Gumbel. */
export const meanGap = (n: number, beta: number): number => beta * (Math.log(n * beta) + euler)

/** The same for any `n`, when an expiry of which nobody is drawn counts as 0. */
export const exactMeanGap = (n: number, beta: number): number =>
  beta * integrate((x) => x === 0 ? 1 : -Math.expm1(-x) / x, 0, n * beta)
