import { Grid } from "./grid.mjs";

// The grid's place in the queue, page by page, and what its cards do to the items.
export class Review {
  constructor(annotator) {
    this.a = annotator;
    this.from = 0;
    this.page = 40;
    this.grid = new Grid(annotator.v.grid, {
      accept: (items) => this.accept(items), settle: (item, side) => this.settle(item, side), open: (id) => this.leaveFor(id),
      ask: (ids) => annotator.link.send({ type: "thumbs", ids, suggest: true }), page: (by) => this.turn(by), close: () => this.toggle(false), loaded: () => this.ahead(),
      speak: (text) => annotator.display.spoken.item(text),
    });
  }

  get open() {
    return this.grid.visible;
  }

  toggle(on) {
    const { a } = this;
    a.v.work.hidden = on;
    a.v.strip.hidden = on;
    if (on) {
      this.from = a.place.at;
      a.v.grid.hidden = false;
      this.ask();
    } else {
      this.grid.hide();
      a.show();
    }
    a.v.root.focus({ preventScroll: true });
  }

  ask() {
    this.a.link.send({ type: "window", at: this.from, around: 2 * this.page });
  }

  show() {
    const { a } = this;
    const items = [];
    for (let at = this.from; at < Math.min(this.from + this.page, a.place.count); at += 1) {
      if (a.itemAt(at)) items.push(a.itemAt(at));
    }
    this.grid.show(items, this.from, a.place.count);
  }

  turn(by) {
    const from = this.from + by * this.page;
    if (from >= this.a.place.count || from <= -this.page) return;
    this.from = Math.max(0, from);
    this.a.place.at = this.from;
    this.ask();
  }

  // While somebody looks at a page, Python may think about the next one.
  ahead() {
    const { place } = this.a;
    const next = this.from + this.page;
    const ids = Array.from({ length: this.page }, (_, step) => place.idAt(next + step)).filter((id) => id !== undefined);
    if (ids.length) this.a.link.send({ type: "ahead", ids });
  }

  // A fresher item, with its thumbnail or without.
  take(item, thumb = null) {
    if (this.open && item) this.grid.take(item, thumb);
  }

  accept(items) {
    for (const item of items) {
      this.a.decisions.accept(item);
      this.take(this.a.decisions.items.get(item.id));
    }
    this.a.display.say(`${items.length} accepted.`);
  }

  settle(item, side) {
    this.a.decisions.settle(item, side);
    this.take(this.a.decisions.items.get(item.id));
    this.a.display.say(`${item.pic_name}: ${side.who || "the other side"} it is.`);
  }

  leaveFor(id) {
    const at = this.a.place.positionOf(id);
    this.toggle(false);
    if (at !== undefined) this.a.goTo(at);
  }

  close() {
    this.grid.clear();
  }
}
