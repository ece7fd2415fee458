import { STATE_WORDS } from "./view.mjs";

const EDGE_WORDS = { x1: "left", y1: "top", x2: "right", y2: "bottom" };
const REST_MS = 250; // a held arrow key counts as one change, not fifty

// The announcement of an item for screen readers; null while its save is in flight, since "saved" or an alarm follows.
export function describeItem({ at, count, item, now, box, owed, problem }) {
  if (owed === "saving") return null;
  const parts = [`${at + 1} of ${count}: ${item.pic_name}`];
  if (problem) parts.push(problem);
  if (now.from === "suggestion") parts.push(item.method === "stale" ? "stale, its region is offered" : `suggestion, ${Math.round(100 * (item.confidence ?? 0))} % sure`);
  else parts.push(STATE_WORDS[now.state] || now.state);
  if (box) parts.push(Object.entries(EDGE_WORDS).map(([edge, word]) => `${word} ${box[edge]}`).join(" "));
  if (item.service) parts.push(`the service's box ${Object.entries(EDGE_WORDS).map(([edge, word]) => `${word} ${item.service[edge]}`).join(" ")}`);
  if (now.from === "draft") parts.push("not saved");
  if (now.from === "saved") parts.push("saved");
  if (item.flagged) parts.push("flagged");
  return parts.join(", ");
}

// A live region for screen readers: announces each change once.
export class Announcer {
  constructor(element, rest = REST_MS) {
    this.element = element;
    this.rest = rest;
    this.last = "";
    this.next = null;
    this.names = []; // saved since the last announcement while another image was on screen
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
    this.timer = setTimeout(() => this.announce(), this.rest);
  }

  announce() {
    const texts = [];
    if (this.names.length) texts.push(this.names.length > 3 ? `Saved: ${this.names.length} images.` : `Saved: ${this.names.join(", ")}.`);
    if (this.next && this.next !== this.last) texts.push(this.next);
    if (texts.length) this.element.textContent = texts.join(" ");
    this.last = this.next || this.last;
    this.names = [];
  }

  close() {
    clearTimeout(this.timer);
  }
}
