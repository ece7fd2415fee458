const FAR = 300; // positions farther away than this are dropped
const EDGE = 8; // distance from the end of the known items at which more are requested

// A display's position in its filtered queue, and the known items around it.
export class Position {
  constructor() {
    this.order = new Map(); // position → id
    this.at = 0;
    this.count = 0;
  }

  arranged({ at, count }) {
    this.order.clear();
    this.at = at;
    this.count = count;
  }

  learn(first, items) {
    items.forEach((item, offset) => this.order.set(first + offset, item.id));
    for (const at of this.order.keys()) {
      if (Math.abs(at - this.at) > FAR) this.order.delete(at);
    }
  }

  current() {
    return this.order.get(this.at);
  }

  idAt(at) {
    return this.order.get(at);
  }

  positionOf(id) {
    return [...this.order].find(([, one]) => one === id)?.[0];
  }

  inside(at) {
    return at >= 0 && at < this.count;
  }

  // Whether the known items end nearby.
  nearEdge() {
    return !this.order.has(Math.min(this.at + EDGE, this.count - 1)) || !this.order.has(Math.max(this.at - EDGE, 0));
  }
}
