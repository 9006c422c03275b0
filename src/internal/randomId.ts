/** 96 random bits as text: a name that no other process has, whatever its `Random` was seeded with. */
export const randomId = (): string => toHex(crypto.getRandomValues(new Uint8Array(12)))

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
