import { isOpen } from "./decisions.mjs";
import { drawThumb, SIDE_COLOURS } from "./filmstrip.mjs";
import { t } from "./language.mjs";
import { el, SHORTCUTS, stateWord } from "./view.mjs";

const THRESHOLD = 80; // percent; below it, a suggestion is accepted only if chosen

// A page of suggestions, of which those above a threshold are accepted unless rejected, and of conflicts, each settled
// by choosing a side.
export class Grid {
  // on: {accept(items), settle(item, side), open(id), ask(ids), page(by), close(), announce(text), loaded()}
  constructor(element, on) {
    this.element = element;
    this.on = on;
    this.items = [];
    this.thumbs = new Map();
    this.chosen = new Map(); // id → whether a person took it (true) or rejected it (false); the threshold decides on the rest
    this.at = 0;
    this.threshold = el("input", { type: "number", class: "ipr-threshold", min: 0, max: 100, step: 5, value: THRESHOLD, "aria-label": t("Accept suggestions from this confidence, percent"), oninput: () => this.mark() });
    this.head = el("span", { class: "ipr-grid-head" });
    this.area = el("div", { class: "ipr-grid-area", role: "list", "aria-label": t("Suggestions") });
    const button = (label, key, action) => el("button", { type: "button", class: "ipr-button", "aria-label": label, "aria-keyshortcuts": SHORTCUTS[key] || key, onclick: action }, el("span", {}, label), el("kbd", {}, key));
    element.append(
      el("div", { class: "ipr-grid-bar" }, this.head, el("label", { class: "ipr-from" }, t("from"), this.threshold, t("% sure")), el("span", { class: "ipr-grow" }),
        button(t("Accept"), "⏎", () => this.accept()), button(t("Reject"), "X", () => this.turn(this.at)),
        button(t("Open"), "O", () => this.open(this.at)), button(t("Before"), "PgUp", () => on.page(-1)),
        button(t("After"), "PgDn", () => on.page(1)), button(t("Close"), "Esc", () => on.close())),
      this.area);
  }

  get visible() {
    return !this.element.hidden;
  }

  show(items, from, count) {
    this.element.hidden = false;
    this.clear();
    this.items = items;
    this.at = 0;
    this.complete = false; // whether every thumbnail of the page has arrived
    this.chosen.clear();
    this.where = t("{first}–{last} of {count}", { first: count ? from + 1 : 0, last: from + items.length, count });
    this.tiles = items.map((item, number) => this.card(item, number));
    this.area.replaceChildren(...this.tiles);
    this.on.ask(items.map((item) => item.id));
    this.mark();
  }

  card(item, number) {
    const tile = el("div", { class: "ipr-card", role: "listitem", tabindex: -1 }, el("canvas", { "aria-hidden": "true" }),
      el("span", { class: "ipr-card-name" }, item.pic_name), el("span", { class: "ipr-card-state" }), el("span", { class: "ipr-card-sides" }));
    tile.addEventListener("click", (event) => {
      if (event.target.closest("button")) return;
      this.at = number;
      if (this.items[number].conflict?.length) this.mark();
      else this.turn(number);
    });
    tile.addEventListener("dblclick", () => this.open(number));
    return tile;
  }

  // Buttons for the sides of a conflict, in the same colours as the boxes.
  sides(item, number) {
    return (item.conflict || []).map((side, which) => {
      const colour = SIDE_COLOURS[which % SIDE_COLOURS.length];
      const state = side.state === "region" ? "" : t(": ") + stateWord(side.state);
      const name = `${side.who || t("unknown")}${state}`;
      const button = el("button", { type: "button", class: "ipr-side-button", title: t("{name} is right", { name }), onclick: () => this.settle(number, which) },
        el("span", { class: "ipr-swatch" }), el("span", {}, name), el("kbd", {}, String(which + 1)));
      button.firstChild.style.background = colour;
      return button;
    });
  }

  settle(number, which) {
    const item = this.items[number];
    const side = item?.conflict?.[which];
    if (side) this.on.settle(item, side);
  }

  // Receive a newer item, with or without a thumbnail.
  take(item, thumb) {
    const number = this.items.findIndex((one) => one.id === item.id);
    if (number < 0) {
      thumb?.bitmap?.close();
      return;
    }
    this.items[number] = item;
    if (thumb) {
      this.thumbs.get(item.id)?.bitmap?.close();
      this.thumbs.set(item.id, thumb);
      if (this.thumbs.size === this.items.length && !this.complete) {
        this.complete = true;
        this.on.loaded();
      }
    }
    this.mark();
  }

  // What Enter does with an item: "ready" is accepted; "low" and "rejected" are not.
  state(item) {
    const thumb = this.thumbs.get(item.id);
    if (item.conflict?.length) return "conflict";
    if (!isOpen(item)) return "done";
    if (!item.suggestion || !item.size || !thumb?.bitmap) return thumb?.problem ? "problem" : thumb ? "none" : "loading";
    if (this.chosen.get(item.id) ?? this.above(item)) return "ready";
    return this.chosen.has(item.id) ? "rejected" : "low";
  }

  above(item) {
    return 100 * (item.confidence ?? 0) >= Number(this.threshold.value);
  }

  mark() {
    let ready = 0;
    this.items.forEach((item, number) => {
      const tile = this.tiles[number];
      const thumb = this.thumbs.get(item.id);
      const state = this.state(item);
      const sure = item.state === "stale" ? t("stale") : `${Math.round(100 * (item.confidence ?? 0))} %`;
      ready += state === "ready" ? 1 : 0;
      tile.dataset.state = state;
      tile.dataset.chosen = number === this.at ? "yes" : "";
      tile.title = thumb?.problem || item.pic_name;
      tile.querySelector(".ipr-card-state").textContent = { ready: sure, low: t("{sure}, not accepted", { sure }), rejected: t("rejected"), done: stateWord(item.state), conflict: t("decided differently"), problem: t("cannot be shown"), none: t("no suggestion"), loading: "…" }[state];
      tile.setAttribute("aria-label", item.pic_name + t(", ") + tile.querySelector(".ipr-card-state").textContent);
      tile.querySelector(".ipr-card-sides").replaceChildren(...this.sides(item, number));
      drawThumb(tile.querySelector("canvas"), thumb, item, 120);
    });
    const chosen = this.tiles[this.at];
    if (chosen) this.on.announce(t("{at} of {count} on this page: {label}", { at: this.at + 1, count: this.items.length, label: chosen.getAttribute("aria-label") }));
    const open = this.items.filter((item) => item.conflict?.length).length;
    this.head.textContent = this.where + t(" · Enter accepts {ready}", { ready }) + (open ? t(" · {open} in conflict: 1 or 2 chooses a side", { open }) : "");
  }

  // Reject a card that would be accepted, or take one that would not.
  turn(number) {
    const item = this.items[number];
    if (!item) return;
    if (!this.chosen.delete(item.id)) this.chosen.set(item.id, !this.above(item));
    this.mark();
  }

  open(number) {
    if (this.items[number]) this.on.open(this.items[number].id);
  }

  accept() {
    this.on.accept(this.items.filter((item) => this.state(item) === "ready"));
  }

  // Handle a key; true if the grid uses it.
  key(event) {
    const columns = Math.max(1, getComputedStyle(this.area).gridTemplateColumns.split(" ").length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (steps[event.key]) {
      this.at = Math.min(Math.max(this.at + steps[event.key], 0), this.items.length - 1);
      this.mark();
      this.tiles[this.at]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      if (!event.repeat) this.accept();
    } else if (event.key === "x" || event.key === " " || event.key === "Delete") this.turn(this.at);
    else if (/^[1-9]$/.test(event.key)) this.settle(this.at, Number(event.key) - 1);
    else if (event.key === "o") this.open(this.at);
    else if (event.key === "PageDown") this.on.page(1);
    else if (event.key === "PageUp") this.on.page(-1);
    else if (event.key === "Escape" || event.key === "g") this.on.close();
    else return false;
    return true;
  }

  clear() {
    for (const thumb of this.thumbs.values()) thumb.bitmap?.close();
    this.thumbs.clear();
  }

  hide() {
    this.element.hidden = true;
    this.clear();
    this.items = [];
    this.area.replaceChildren();
  }
}

// The grid's pages in the queue, and the effects of its cards on the items.
export class Review {
  constructor(annotator) {
    this.a = annotator;
    this.from = 0;
    this.page = 40;
    this.grid = new Grid(annotator.v.grid, {
      accept: (items) => this.accept(items), settle: (item, side) => this.settle(item, side), open: (id) => this.leaveFor(id),
      ask: (ids) => annotator.connection.send({ type: "thumbs", ids, suggest: true }), page: (by) => this.turn(by), close: () => this.toggle(false), loaded: () => this.ahead(),
      announce: (text) => annotator.display.announcer.item(text),
    });
  }

  get open() {
    return this.grid.visible;
  }

  toggle(on) {
    const { a } = this;
    if (on && a.empty) return;
    if (on) {
      this.from = a.position.at;
      a.v.grid.hidden = false;
      this.ask();
    } else this.grid.hide();
    this.place();
    if (!on) a.show();
    a.v.root.focus({ preventScroll: true });
  }

  // Show the grid or the image; neither while the filter matches nothing.
  place() {
    const { v, empty } = this.a;
    if (empty && this.open) this.grid.hide();
    v.work.hidden = this.open || empty;
    v.strip.hidden = this.open || empty;
  }

  ask() {
    this.a.connection.send({ type: "window", at: this.from, around: 2 * this.page });
  }

  show() {
    const { a } = this;
    const items = [];
    for (let at = this.from; at < Math.min(this.from + this.page, a.position.count); at += 1) {
      if (a.itemAt(at)) items.push(a.itemAt(at));
    }
    this.grid.show(items, this.from, a.position.count);
  }

  turn(by) {
    const from = this.from + by * this.page;
    if (from >= this.a.position.count || from <= -this.page) return;
    this.from = Math.max(0, from);
    this.a.position.at = this.from;
    this.ask();
  }

  // Request the suggestions for the next page from Python.
  ahead() {
    const { position } = this.a;
    const next = this.from + this.page;
    const ids = Array.from({ length: this.page }, (_, step) => position.idAt(next + step)).filter((id) => id !== undefined);
    if (ids.length) this.a.connection.send({ type: "ahead", ids });
  }

  // Pass on a newer item, with or without its thumbnail.
  take(item, thumb = null) {
    if (this.open && item) this.grid.take(item, thumb);
  }

  accept(items) {
    for (const item of items) {
      this.a.decisions.accept(item);
      this.take(this.a.decisions.items.get(item.id));
    }
    this.a.display.status(t("{count} accepted.", { count: items.length }));
  }

  settle(item, side) {
    this.a.decisions.settle(item, side);
    this.take(this.a.decisions.items.get(item.id));
    this.a.display.status(t("{name}: resolved in favour of {who}.", { name: item.pic_name, who: side.who || t("the other side") }));
  }

  leaveFor(id) {
    const at = this.a.position.positionOf(id);
    this.toggle(false);
    if (at !== undefined) this.a.goTo(at);
  }

  close() {
    this.grid.clear();
  }
}
