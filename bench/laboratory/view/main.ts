/**
 * The page: what a stampede is, what was measured of it, and one to play with.
 */
import type { Report } from "../../stampede/report.ts"
import { strategies } from "../../stampede/strategies.ts"
import { declare } from "./colors.ts"
import { button, choice, h } from "./dom.ts"
import { live } from "./live.ts"
import { measured } from "./measured.ts"
import { recall, remember } from "./state.ts"

const report = JSON.parse(document.getElementById("report")!.textContent) as Report | null

declare([
  ...strategies.map(({ id }) => id),
  ...(report?.results ?? []).flatMap(({ outcomes }) => outcomes.map(({ id }) => id))
])

const themes = [{ value: "auto", text: "as the system" }, { value: "light", text: "light" }, {
  value: "dark",
  text: "dark"
}]

/** Pictures whose colours are not CSS are drawn again. */
const setTheme = (theme: string): void => {
  document.documentElement.dataset.theme = theme
  remember({ theme: theme === "auto" ? undefined : theme })
}

const theme = recall("theme") ?? "auto"
document.documentElement.dataset.theme = theme

interface View {
  readonly id: string
  readonly title: string
  readonly panel: HTMLElement
  readonly show: (shown: boolean) => void
}

const views: ReadonlyArray<View> = [
  ...(report === null ? [] : [{ id: "measured", title: "Measured", panel: measured(report), show: () => {} }]),
  { id: "live", title: "Live", ...live() }
]

const tabs = views.map(({ id, panel, title }) => {
  panel.id = id
  panel.setAttribute("role", "tabpanel")
  panel.setAttribute("aria-labelledby", `tab-${id}`)
  return button(title, () => select(id), { id: `tab-${id}`, role: "tab", "aria-controls": id })
})

const select = (chosen: string): void => {
  views.forEach(({ id, panel, show }, i) => {
    const isChosen = id === chosen
    panel.hidden = !isChosen
    tabs[i]!.setAttribute("aria-selected", `${isChosen}`)
    tabs[i]!.tabIndex = isChosen ? 0 : -1
    show(isChosen)
  })
  remember({ view: views.length === 1 ? undefined : chosen })
}

/** As tabs are moved between: the arrows choose, and Tab leaves. */
const move = (event: KeyboardEvent): void => {
  const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0
  if (step === 0) return
  const next = (tabs.indexOf(event.target as HTMLButtonElement) + step + tabs.length) % tabs.length
  select(views[next]!.id)
  tabs[next]!.focus()
}

const tabList = h("div", { role: "tablist", "aria-label": "Views" }, ...tabs)
tabList.addEventListener("keydown", move)

document.body.append(
  h(
    "header",
    {},
    h("h1", {}, "Cache stampedes, and what stops them"),
    h(
      "p",
      { class: "lead" },
      "When the entry of a hot key ends, everyone who asks before it is loaded again finds nothing, and loads it, too: ",
      "a hundred requests a second and a load of one second make a hundred loads where one would do. ",
      "Leases let one load and the others wait; stale-while-revalidate gives the others the old value meanwhile; ",
      "XFetch has it loaded shortly before it ends, so that nobody waits at all."
    ),
    h(
      "div",
      { class: "bar" },
      views.length > 1 ? tabList : undefined,
      choice("theme", themes, theme, setTheme, { id: "theme" })
    )
  ),
  h("main", {}, ...views.map(({ panel }) => panel))
)

const wanted = recall("view")
select(views.find(({ id }) => id === wanted)?.id ?? views[0]!.id)
