/**
 * Elements, in few words.
 */

export type Child = Node | string | undefined

/** `true` sets an attribute without a value; `false` and `undefined` leave it out. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

const fill = (element: Element, attributes: Attributes, children: ReadonlyArray<Child>): void => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : `${value}`)
  }
  element.append(...children.filter((child) => child !== undefined))
}

export const h = <Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): HTMLElementTagNameMap[Tag] => {
  const element = document.createElement(tag)
  fill(element, attributes, children)
  return element
}

export const s = <Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): SVGElementTagNameMap[Tag] => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  fill(element, attributes, children)
  return element
}

export interface Option {
  readonly value: string
  readonly text: string
}

/** A choice of one, under its name. */
export const choice = (
  name: string,
  options: ReadonlyArray<Option>,
  chosen: string,
  onChange: (value: string) => void,
  attributes: Attributes = {}
): HTMLLabelElement => {
  const select = h(
    "select",
    attributes,
    ...options.map(({ text, value }) => h("option", { value, selected: value === chosen }, text))
  )
  select.addEventListener("change", () => onChange(select.value))
  return h("label", { class: "field" }, h("span", {}, name), select)
}

export const button = (text: string, onClick: () => void, attributes: Attributes = {}): HTMLButtonElement => {
  const made = h("button", { type: "button", ...attributes }, text)
  made.addEventListener("click", onClick)
  return made
}

export const checkbox = (
  text: Child,
  checked: boolean,
  onChange: (checked: boolean) => void,
  attributes: Attributes = {}
): HTMLLabelElement => {
  const input = h("input", { type: "checkbox", checked, ...attributes })
  input.addEventListener("change", () => onChange(input.checked))
  return h("label", { class: "check" }, input, text)
}

/** Calls when the width of an element has changed, and at once. */
export const onWidth = (element: Element, draw: (width: number) => void): void => {
  let last = 0
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry!.contentRect.width)
    if (width === 0 || width === last) return
    last = width
    draw(width)
  }).observe(element)
}
