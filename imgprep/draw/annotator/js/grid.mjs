import { drawThumb, SIDE_COLOURS } from "./strip.mjs";
import { el, SHORTCUTS, STATE_WORDS } from "./view.mjs";

// A page of suggestions: accept all but those that were rejected; and of conflicts: choose a side of each. Keys and
// clicks do the same things.
export class Grid {
  // on: {accept(items), settle(item, side), open(id), ask(ids), page(by), close(), speak(text), loaded()}
  constructor(element, on) {
    this.element = element;
    this.on = on;
    this.items = [];
    this.thumbs = new Map();
    this.rejected = new Set();
    this.at = 0;
    this.head = el("span", { class: "ipr-grid-head" });
    this.area = el("div", { class: "ipr-grid-area", role: "list", "aria-label": "Suggestions" });
    const button = (label, key, action) => el("button", { type: "button", class: "ipr-button", "aria-label": label, "aria-keyshortcuts": SHORTCUTS[key] || key, onclick: action }, el("span", {}, label), el("kbd", {}, key));
    element.append(
      el("div", { class: "ipr-grid-bar" }, this.head, el("span", { class: "ipr-grow" }),
        button("Accept the rest", "⏎", () => this.accept()), button("Reject", "X", () => this.reject(this.at)),
        button("Open", "O", () => this.open(this.at)), button("Before", "PgUp", () => on.page(-1)),
        button("After", "PgDn", () => on.page(1)), button("Close", "Esc", () => on.close())),
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
    this.told = false; // that every thumbnail of the page is here
    this.rejected.clear();
    this.where = `${count ? from + 1 : 0}–${from + items.length} of ${count}`;
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
      else this.reject(number);
    });
    tile.addEventListener("dblclick", () => this.open(number));
    return tile;
  }

  // Buttons for the sides of a conflict, in the colours of their boxes.
  sides(item, number) {
    return (item.conflict || []).map((side, which) => {
      const colour = SIDE_COLOURS[which % SIDE_COLOURS.length];
      const said = side.state === "region" ? "" : `: ${STATE_WORDS[side.state] || side.state}`;
      const name = `${side.who || "somebody"}${said}`;
      const button = el("button", { type: "button", class: "ipr-side-button", title: `${name} is right`, onclick: () => this.settle(number, which) },
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

  // A thumbnail, or a fresher item, arrived.
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
      if (this.thumbs.size === this.items.length && !this.told) {
        this.told = true;
        this.on.loaded();
      }
    }
    this.mark();
  }

  ready(item) {
    return Boolean(item.suggestion && item.size && this.thumbs.get(item.id)?.bitmap);
  }

  mark() {
    let ready = 0;
    this.items.forEach((item, number) => {
      const tile = this.tiles[number];
      const thumb = this.thumbs.get(item.id);
      const state = item.conflict?.length ? "conflict" : this.rejected.has(item.id) ? "rejected" : item.state !== "undone" && item.state !== "stale" ? "done" : this.ready(item) ? "ready" : thumb?.problem ? "problem" : thumb ? "none" : "loading";
      ready += state === "ready" ? 1 : 0;
      tile.dataset.state = state;
      tile.dataset.chosen = number === this.at ? "yes" : "";
      tile.title = thumb?.problem || item.pic_name;
      tile.querySelector(".ipr-card-state").textContent = { ready: item.state === "stale" ? "stale" : `${Math.round(100 * (item.confidence ?? 0))} %`, rejected: "rejected", done: STATE_WORDS[item.state] || item.state, conflict: "decided differently", problem: "cannot be shown", none: "no suggestion", loading: "…" }[state];
      tile.setAttribute("aria-label", `${item.pic_name}, ${tile.querySelector(".ipr-card-state").textContent}`);
      tile.querySelector(".ipr-card-sides").replaceChildren(...this.sides(item, number));
      drawThumb(tile.querySelector("canvas"), thumb, item, 120);
    });
    const chosen = this.tiles[this.at];
    if (chosen) this.on.speak(`${this.at + 1} of ${this.items.length} on this page: ${chosen.getAttribute("aria-label")}`);
    const open = this.items.filter((item) => item.conflict?.length).length;
    this.head.textContent = `${this.where} · Enter accepts ${ready}${open ? ` · ${open} in conflict: 1 or 2 chooses a side` : ""}`;
  }

  reject(number) {
    const item = this.items[number];
    if (!item) return;
    if (this.rejected.has(item.id)) this.rejected.delete(item.id);
    else this.rejected.add(item.id);
    this.mark();
  }

  open(number) {
    if (this.items[number]) this.on.open(this.items[number].id);
  }

  accept() {
    this.on.accept(this.items.filter((item) => ["undone", "stale"].includes(item.state) && !item.conflict?.length && this.ready(item) && !this.rejected.has(item.id)));
  }

  // true where the key was the grid's.
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
    } else if (event.key === "x" || event.key === " " || event.key === "Delete") this.reject(this.at);
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
