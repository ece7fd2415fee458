import { STATE_WORDS } from "./view.mjs";

const EDGE_WORDS = { x1: "left", y1: "top", x2: "right", y2: "bottom" };
const REST_MS = 250; // a held arrow key is one change, not fifty

// What a screen reader is told of an item; null while its save is on the way, for "saved" or an alarm follows.
export function sentence({ at, count, item, now, box, owed, problem }) {
  if (owed === "saving") return null;
  const said = [`${at + 1} of ${count}: ${item.pic_name}`];
  if (problem) said.push(problem);
  if (now.from === "suggestion") said.push(item.method === "stale" ? "stale, its region is offered" : `suggestion, ${Math.round(100 * (item.confidence ?? 0))} % sure`);
  else said.push(STATE_WORDS[now.state] || now.state);
  if (box) said.push(Object.entries(EDGE_WORDS).map(([edge, word]) => `${word} ${box[edge]}`).join(" "));
  if (now.from === "draft") said.push("not saved");
  if (now.from === "saved") said.push("saved");
  if (item.flagged) said.push("flagged");
  return said.join(", ");
}

// A region that screen readers read out when it changes: each thing once, and only when there is something new.
export class Spoken {
  constructor(element, rest = REST_MS) {
    this.element = element;
    this.rest = rest;
    this.last = "";
    this.next = null;
    this.names = []; // saved since the last word, while something else was on the screen
    this.timer = 0;
  }

  item(text) {
    if (!text) return;
    this.next = text;
    this.soon();
  }

  saved(name) {
    this.names.push(name);
    this.soon();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.speak(), this.rest);
  }

  speak() {
    const words = [];
    if (this.names.length) words.push(this.names.length > 3 ? `Saved: ${this.names.length} images.` : `Saved: ${this.names.join(", ")}.`);
    if (this.next && this.next !== this.last) words.push(this.next);
    if (words.length) this.element.textContent = words.join(" ");
    this.last = this.next || this.last;
    this.names = [];
  }

  close() {
    clearTimeout(this.timer);
  }
}
