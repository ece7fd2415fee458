// Small pictures of the filmstrip, by item id: asked for once the hand rests, the oldest closed when there are too many.
export class Thumbs {
  constructor(ask, { keep = 60, rest = 200 } = {}) {
    this.ask = ask; // ask([ids])
    this.keep = keep;
    this.rest = rest; // ms
    this.held = new Map(); // id → {bitmap, problem}
    this.asked = new Set();
    this.timer = 0;
  }

  get(id) {
    return this.held.get(id) || null;
  }

  soon(ids) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const missing = ids.filter((id) => id !== undefined && !this.asked.has(id));
      for (const id of missing) this.asked.add(id);
      if (missing.length) this.ask(missing);
    }, this.rest);
  }

  take(id, thumb) {
    this.held.get(id)?.bitmap?.close();
    this.held.set(id, thumb);
    for (const old of [...this.held.keys()].slice(0, Math.max(0, this.held.size - this.keep))) {
      this.held.get(old).bitmap?.close();
      this.held.delete(old);
      this.asked.delete(old);
    }
  }

  close() {
    clearTimeout(this.timer);
    for (const thumb of this.held.values()) thumb.bitmap?.close();
    this.held.clear();
  }
}
