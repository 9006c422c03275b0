/**
 * The one error of bad input: a negative lifetime, an empty tag, a key that is
 * not a number. It is thrown where the value is made, so a mistake in a policy
 * shows when the module loads and not at the first unlucky read.
 *
 * **Example** (A mistake shows at once)
 *
 * ```ts
 * import { InvalidInput, Policy } from "effect-cache-algebra"
 *
 * const attempt = () => {
 *   try {
 *     return Policy.ttl("-5 minutes")
 *   } catch (error) {
 *     return error instanceof InvalidInput.InvalidInput ? error.reason : "?"
 *   }
 * }
 * attempt() // => "NegativeDuration"
 * ```
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const Reasons = Schema.Literals([
  "NegativeDuration",
  "UnorderedDurations",
  "InvalidNumber",
  "InvalidCron",
  "EmptyName",
  "EmptyTag",
  "InvalidKeyPart",
  "InvalidVersion",
  "TooManyAlternatives",
  "TooManyPolicies",
  "TooManyDependencies",
  "UnknownField",
  "DifferentRows",
  "InvalidRow",
  "NameTaken",
  "Unparsable",
  "NotEncodable",
  "InvalidOption"
])

/**
 * Bad input, refused when it was given.
 *
 * `where` names the function that refused it, `reason` is for programs,
 * `message` for people.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  where: Schema.String,
  reason: Reasons,
  message: Schema.String
}) {}
