/** What goes wrong in a world. */
import type { Fault } from "./plan.ts"
import type { World } from "./run.ts"

const millis = 1000

export const inject = (world: World, fault: Fault): void => {
  const { judge, network, seats, servers, sim } = world
  const tell = (where: string, what: string) => world.tell(where, what)
  const seatOf = (process: number) => seats[process % seats.length]!
  switch (fault.fault) {
    case "pause": {
      const { name, process } = seatOf(fault.process)
      tell(name, `stands still for ${fault.ms} ms`)
      judge.deafen(name, fault.ms * millis)
      process.pausedUntil = Math.max(process.pausedUntil, sim.us + fault.ms * millis)
      return
    }
    case "crash":
      return world.crash(seatOf(fault.process), fault.ms)
    case "leave":
      return world.leave(seatOf(fault.process), fault.ms)
    case "interrupt":
      return world.interrupt(seatOf(fault.process))
    case "wallClock": {
      const { name, process } = seatOf(fault.process)
      tell(name, `its wall clock is set by ${fault.ms} ms`)
      process.skew += fault.ms * millis
      return
    }
    case "freeze":
      return servers.freeze(fault.server, fault.ms * millis)
    case "full":
      return servers.fill(fault.server, fault.ms * millis)
    case "pauseWrites":
      return servers.pauseWrites(fault.server, fault.ms * millis)
    case "restart":
      return servers.restart(fault.server, fault.ms * millis, fault.data)
    case "evict":
      return servers.evict(fault.what, fault.many)
    case "serverClock":
      return servers.setClock(fault.server, fault.ms * millis)
    case "failover": {
      const lost = servers.failOver()
      // What replicas have acknowledged is not lost.
      if (lost !== undefined && world.plan.acknowledge === "primary") judge.lose(lost)
      return
    }
    case "move":
      return servers.moveSlots(fault.slots)
    case "cut": {
      const { name, process } = seatOf(fault.process)
      const links = network.all.filter(({ client }) => client === process)
      if (links.length === 0) return
      tell(name, "loses a connection")
      sim.random.pick(links).cut()
      return
    }
    case "cutAll":
      tell("the network", "cuts every connection")
      for (const link of network.all) link.cut()
      return
    case "stall": {
      const { name, process } = seatOf(fault.process)
      const { places } = servers
      const far = fault.server === undefined ? places : [places[fault.server % places.length]!]
      tell(
        name,
        `nothing passes${far.length < places.length ? ` to and from ${far[0]!.host.name}` : ""} for ${fault.ms} ms`
      )
      judge.deafen(name, fault.ms * millis)
      for (const { host } of far) network.stall(process, host, fault.ms * millis)
      return
    }
    case "messages": {
      const { doubled, late, lost, ms } = fault
      tell("the network", `loses ${lost}, doubles ${doubled}, delays ${late} of what is published, for ${ms} ms`)
      network.messages = { lost, doubled, late }
      sim.after(ms * millis, () => {
        network.messages = { lost: 0, doubled: 0, late: 0 }
      }, undefined)
    }
  }
}
