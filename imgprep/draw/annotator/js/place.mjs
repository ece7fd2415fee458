const FAR = 300; // positions further away than this are forgotten
const EDGE = 8; // so near to what is known, more is asked for

// Where a display is in its filtered queue, and which items are known to lie around it.
export class Place {
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

  told(first, items) {
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

  // Whether what is known ends close by.
  nearEdge() {
    return !this.order.has(Math.min(this.at + EDGE, this.count - 1)) || !this.order.has(Math.max(this.at - EDGE, 0));
  }
}
