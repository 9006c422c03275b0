/**
 * What the error replies of a server say. What a command says that a script
 * called is passed on by the script, and each version wraps it in its own way:
 *
 * | version | |
 * |---|---|
 * | 7 | `READONLY You can't write against a read only replica. script: 1f..., on @user_script:3.` |
 * | 6.2 | `ERR Error running script (call to f_1f...): @user_script:3: @user_script: 3: -READONLY You can't ...` |
 * | 6.2, given back by the script | `@user_script: 3: -OOM command not allowed ...` |
 */

const wrapping = /^(?:ERR Error running script \(call to \w+\): )?(?:@?\w+: ?\d+: )*-?/
const fromScript = /script: [0-9a-f]{40}, on |^ERR Error running script|^@?user_script: ?\d/

/** What was said, without what a script put around it. */
export const wordsOf = (message: string): string => message.replace(wrapping, "")

// Said before a command does anything.
const refusals =
  /^(?:OOM|READONLY|LOADING|NOAUTH|WRONGPASS|NOPERM|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|MISCONF|BUSY|TRYAGAIN|CROSSSLOT|NOSCRIPT|DENIED|MOVED|ASK)\b/

// What the first write of a script is told; one that may write once may go on. Any other command may be refused later.
const refusalsOfWrites = /^(?:OOM|READONLY|MISCONF|NOREPLICAS)\b/

/** Whether the server has refused, and so surely has done nothing. */
export const isRefusal = (message: string): boolean =>
  (fromScript.test(message) ? refusalsOfWrites : refusals).test(wordsOf(message))

/** Whether a server that was written to is a replica. */
export const isReadOnly = (message: string): boolean => /^READONLY\b/.test(wordsOf(message))
