/** What is bounded, at which size, and why there. */

/**
 * The most dependencies of one entry; what has more is served and not stored.
 *
 * On Redis one script looks at all of them when a load ends, and the server does
 * nothing else meanwhile: `npm run bench -- redis "depend on"` shows how long. Every
 * hit asks for as many markers. The limit is the same on every store, so that what
 * is cached in a test is cached in production.
 */
export const mostDependencies = 2000

/**
 * The most policies that one is made of. They are walked when it is made, drawn
 * and explained, and a call stack has an end. A list of tags is one policy.
 */
export const mostPolicies = 256

/**
 * Milliseconds of the longest fence. Of what it is over nothing is cached while it
 * stands, and that of a process that has died stands to its end. Servers cannot
 * count to the end of an infinite one.
 */
export const longestFence = 86_400_000

/**
 * The most characters of a value that a store keeps as text; one with more is served
 * and not stored. A Redis takes 512 MB in one string and ends the connection of
 * whoever sends more, and a character is at most three bytes.
 */
export const mostText = 2 ** 26

/**
 * So much of a list is asked of a store at once. The rest waits in this process,
 * where no time limit runs: what stands in a queue of the client would look like
 * a store that is slow.
 */
export const atOnce = 128
