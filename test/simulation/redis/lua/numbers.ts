/** Numbers as C reads and writes them, which is how Redis and Lua do. */

const spelled = (x: number): string => Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf"

/** `%.0f`: half to even, and no exponent. */
export const fixed = (x: number): string => {
  if (!Number.isFinite(x)) return spelled(x)
  if (Number.isInteger(x)) {
    if (Object.is(x, -0)) return "-0"
    return Math.abs(x) < 1e21 ? String(x) : BigInt(x).toString()
  }
  const low = Math.floor(x)
  const rest = x - low
  const rounded = rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1
  return rounded === 0 && x < 0 ? "-0" : String(rounded)
}

/** `%.<digits>g`. */
export const general = (x: number, digits: number): string => {
  if (!Number.isFinite(x)) return spelled(x)
  if (Object.is(x, -0)) return "-0"
  if (Number.isInteger(x) && Math.abs(x) < 1e14) return String(x)
  const [mantissa = "", power = "0"] = x.toExponential(digits - 1).split("e")
  const exponent = Number(power)
  const trimmed = (text: string): string => text.includes(".") ? text.replace(/\.?0+$/, "") : text
  if (exponent < -4 || exponent >= digits) {
    return `${trimmed(mantissa)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`
  }
  return trimmed(x.toFixed(Math.max(0, digits - 1 - exponent)))
}

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i
const hexadecimal = /^([+-]?)0x([0-9a-f]*)(?:\.([0-9a-f]*))?(?:p([+-]?\d+))?$/i

/** `strtod` of a text of which nothing may be left over, nor space before it. */
export const parseDouble = (text: string): number | undefined => {
  if (decimal.test(text)) return Number(text)
  if (/^[+-]?inf(?:inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity
  if (/^[+-]?nan(?:\(\w*\))?$/i.test(text)) return NaN
  const [, sign, whole = "", part = "", power = "0"] = hexadecimal.exec(text) ?? []
  if (sign === undefined || whole + part === "") return undefined
  const digits = BigInt(`0x${whole}${part}`)
  const value = Number(digits) * 2 ** (Number(power) - 4 * part.length)
  return sign === "-" ? -value : value
}
