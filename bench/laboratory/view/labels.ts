/**
 * Names beside points, where they hide neither each other nor the points.
 */

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface Label {
  readonly x: number
  readonly y: number
  /** Of the point. */
  readonly r: number
  readonly width: number
}

/** Where a label stands: its left end, and its middle. */
export interface Place {
  readonly x: number
  readonly y: number
  /** So far away that a line has to lead there. */
  readonly far: boolean
}

const height = 15

const overlap = (a: Box, b: Box): number =>
  Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y))

const outside = (box: Box, frame: Box): number => box.width * box.height - overlap(box, frame)

/** Beside the point, above and below it; then in lines ever farther up and down, a little to the right or left. */
const candidates = ({ r, width, x, y }: Label): ReadonlyArray<Place> => {
  const d = r + 5
  const [right, left] = [x + d, x - d - width]
  const near = [
    { x: right, y },
    { x: left, y },
    ...[-1, 1].flatMap((way) => {
      const beyond = y + way * (d + height / 2)
      return [{ x: x - width / 2, y: beyond }, { x: right, y: beyond }, { x: left, y: beyond }]
    })
  ]
  const farther = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((line) =>
    [-1, 1].flatMap((way) => {
      const beyond = y + way * (d + height / 2 + line * height / 2)
      return [0, 16, 40].flatMap((away) => [{ x: right + away, y: beyond }, { x: left - away, y: beyond }])
    })
  )
  return [...near.map((one) => ({ ...one, far: false })), ...farther.map((one) => ({ ...one, far: true }))]
}

const boxOf = ({ x, y }: Place, width: number): Box => ({ x: x - 2, y: y - height / 2, width: width + 4, height })

/** One after the other, each at the first place that hides nothing, or else where it hides least. */
const placeInOrder = (
  labels: ReadonlyArray<Label>,
  order: ReadonlyArray<number>,
  frame: Box
): { readonly places: ReadonlyArray<Place>; readonly cost: number } => {
  const taken: Array<Box> = labels.map(({ r, x, y }) => ({ x: x - r, y: y - r, width: 2 * r, height: 2 * r }))
  const places: Array<Place> = []
  let total = 0
  for (const i of order) {
    const label = labels[i]!
    let best: { readonly place: Place; readonly cost: number } | undefined
    for (const place of candidates(label)) {
      const box = boxOf(place, label.width)
      const cost = 10 * outside(box, frame) + taken.reduce((sum, other) => sum + overlap(box, other), 0)
      if (best === undefined || cost < best.cost) best = { place, cost }
      if (cost === 0) break
    }
    taken.push(boxOf(best!.place, label.width))
    places[i] = best!.place
    total += best!.cost
  }
  return { places, cost: total }
}

/** Whoever is placed last finds the least room, so some orders are tried. */
export const place = (labels: ReadonlyArray<Label>, frame: Box): ReadonlyArray<Place> => {
  const given = labels.map((_, i) => i)
  const by = (of: (label: Label) => number) => [...given].sort((a, b) => of(labels[a]!) - of(labels[b]!))
  const orders = [given, [...given].reverse(), by(({ width }) => -width), by(({ x }) => -x), by(({ y }) => y)]
  return orders.map((order) => placeInOrder(labels, order, frame))
    .reduce((best, one) => one.cost < best.cost ? one : best).places
}
