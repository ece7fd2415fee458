import { t } from "./language.mjs";
import { stateWord } from "./view.mjs";

const edges = (box) => Object.entries({ x1: t("left"), y1: t("top"), x2: t("right"), y2: t("bottom") }).map(([edge, word]) => `${word} ${box[edge]}`).join(" ");
const REST_MS = 250; // a held arrow key counts as one change, not fifty

// The announcement of an item for screen readers; null while its save is in flight, since "saved" or an alarm follows.
export function describeItem({ at, count, item, now, box, owed, problem }) {
  if (owed === "saving") return null;
  const parts = [t("{at} of {count}: {name}", { at: at + 1, count, name: item.pic_name })];
  if (problem) parts.push(problem);
  if (now.from === "suggestion") parts.push(item.method === "stale" ? t("stale, its region is offered") : t("suggestion, {percent} % sure", { percent: Math.round(100 * (item.confidence ?? 0)) }));
  else parts.push(stateWord(now.state));
  if (box) parts.push(edges(box));
  if (item.service) parts.push(t("the service's box {edges}", { edges: edges(item.service) }));
  if (now.from === "draft") parts.push(t("not saved"));
  if (now.from === "saved") parts.push(t("saved"));
  if (item.flagged) parts.push(t("flagged"));
  return parts.join(t(", "));
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
    if (this.names.length) texts.push(this.names.length > 3 ? t("Saved: {count} images.", { count: this.names.length }) : t("Saved: {names}.", { names: this.names.join(t(", ")) }));
    if (this.next && this.next !== this.last) texts.push(this.next);
    if (texts.length) this.element.textContent = texts.join(" ");
    this.last = this.next || this.last;
    this.names = [];
  }

  close() {
    clearTimeout(this.timer);
  }
}
