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

/** Right, left, above, below, and the corners between, ever farther away. */
const candidates = ({ r, width, x, y }: Label): ReadonlyArray<Place> =>
  [0, 12, 26, 42, 60, 80, 104, 130, 160].flatMap((away) => {
    const [d, far] = [r + 5 + away, away > 0]
    const [right, left, middle] = [x + d, x - d - width, x - width / 2]
    const up = [y - d - height / 2, y + d + height / 2]
    return [
      // A line that leads there would run through the name beside the point.
      ...(far ? [] : [{ x: right, y, far }, { x: left, y, far }]),
      ...up.map((y) => ({ x: middle, y, far })),
      ...up.flatMap((y) => [{ x: right, y, far }, { x: left, y, far }])
    ]
  })

const boxOf = ({ x, y }: Place, width: number): Box => ({ x: x - 2, y: y - height / 2, width: width + 4, height })

/** One after the other, each at the first place that hides nothing, or else where it hides least. */
export const place = (labels: ReadonlyArray<Label>, frame: Box): ReadonlyArray<Place> => {
  const taken: Array<Box> = labels.map(({ r, x, y }) => ({ x: x - r, y: y - r, width: 2 * r, height: 2 * r }))
  return labels.map((label) => {
    let best: { readonly place: Place; readonly cost: number } | undefined
    for (const place of candidates(label)) {
      const box = boxOf(place, label.width)
      const cost = 10 * outside(box, frame) + taken.reduce((sum, other) => sum + overlap(box, other), 0)
      if (best === undefined || cost < best.cost) best = { place, cost }
      if (cost === 0) break
    }
    taken.push(boxOf(best!.place, label.width))
    return best!.place
  })
}
