import type { Address } from "../../CacheStore.ts"
import { placeOf } from "../place.ts"

/** Of keys that lie there in some version: where. Others cost nothing. */
export class Places {
  private readonly versioned = new Map<string, Set<string>>()

  /** Notes that something lies at an address; gives the place. */
  add(address: Address): string {
    const place = placeOf(address)
    if (address.version === undefined) return place
    const places = this.versioned.get(address.key)
    if (places === undefined) this.versioned.set(address.key, new Set([place]))
    else places.add(place)
    return place
  }

  /** Nothing lies at this place any more. */
  remove(key: string, place: string): void {
    if (place === key) return
    const places = this.versioned.get(key)
    if (places?.delete(place) && places.size === 0) this.versioned.delete(key)
  }

  /** All places of a key but the one without version. */
  of(key: string): ReadonlyArray<string> {
    const places = this.versioned.get(key)
    return places === undefined ? none : [...places]
  }

  get isEmpty(): boolean {
    return this.versioned.size === 0
  }
}

const none: ReadonlyArray<string> = []
