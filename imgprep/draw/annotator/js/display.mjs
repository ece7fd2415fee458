import { Announcer, describeItem } from "./announcer.mjs";
import { EDGES, iou, warnings } from "./geometry.mjs";
import { t } from "./language.mjs";
import { showCounts, showCrop, showText, stateWord } from "./view.mjs";

const WHOLE = (image) => ({ x1: 0, y1: 0, x2: image.w, y2: image.h });

// The text and indicators on screen: the item's box and state, whether it is saved, and problems.
export class Display {
  constructor(annotator) {
    this.a = annotator;
    this.v = annotator.v;
    this.announcer = new Announcer(this.v.spoken);
    this.alarmed = null; // subject of the alarm: an item's id, "owed" or "other"
    this.textOf = null; // the item whose product text is shown
  }

  status(text) {
    this.v.status.textContent = text;
  }

  message(text) {
    this.v.message.textContent = text;
    this.v.message.hidden = !text;
  }

  alarm(text, about = "other") {
    this.alarmed = text ? about : null;
    this.v.alarm.textContent = text || "";
    this.v.alarm.hidden = !text;
  }

  // Report that Python has not answered for a while.
  alarmOwed() {
    const names = this.a.decisions.outbox.all().map((message) => message.pic_name);
    const more = names.length > 3 ? t(" and {more} more", { more: names.length - 3 }) : "";
    if (names.length) this.alarm(t("NOT SAVED YET: {names}. Python is busy or not running. If the kernel was restarted, run the cell again: these decisions are kept and will be sent.", { names: names.slice(0, 3).join(t(", ")) + more }), "owed");
  }

  // Show or clear the alarm after a save was answered.
  answered(message, sent) {
    if (sent && message.type === "refused") this.alarm(t("NOT SAVED: {name}: {why}", { name: sent.pic_name, why: message.why }), message.id);
    else if (sent && this.alarmed === message.id) this.alarm(null);
    if (!this.a.decisions.outbox.busy && this.alarmed === "owed") this.alarm(null);
    if (sent && message.type === "saved" && message.id !== this.a.current()) this.announcer.saved(sent.pic_name);
  }

  box() {
    const { stage, decisions } = this.a;
    const id = this.a.current();
    const now = decisions.effective(id);
    const image = this.a.shownId === id ? stage.shown?.image : null;
    const box = (image && now.region) || null;
    const whole = image && now.state === "whole" ? WHOLE(image) : null;
    if (!stage.pointer.busy) stage.setBox(box, now.from === "suggestion", whole, (image && this.a.item()?.service) || null);
    this.v.root.dataset.box = box ? EDGES.map((edge) => box[edge]).join(",") : "";
    this.v.root.dataset.from = now.from;
    this.v.root.dataset.service = stage.service ? EDGES.map((edge) => stage.service[edge]).join(",") : "";
    return { now, box };
  }

  saved() {
    const id = this.a.current();
    const { outbox } = this.a.decisions;
    const now = this.a.decisions.effective(id);
    showSaved(this.v, now, outbox.state(id), outbox.all().length);
    this.v.root.dataset.id = id ?? "";
    return now;
  }

  refresh(id) {
    const { a } = this;
    const here = a.current();
    const item = a.item();
    const { outbox } = a.decisions;
    const picture = a.pictures.get(here);
    if (id === here && item) {
      const { now, box } = this.box();
      showItem(this.v, item, now, box, picture);
      if (this.textOf !== here) {
        showText(this.v, a.texts.get(here));
        this.textOf = a.texts.has(here) ? here : null;
      }
      if (!a.review.open && picture) this.announcer.item(describeItem({ at: a.position.at, count: a.position.count, item, now, box, owed: outbox.state(here), problem: picture.problem }));
    }
    const now = this.saved();
    showCounts(this.v, a.counts, a.position.at, a.position.count);
    a.filmstrip.show(a.position, (at) => a.itemAt(at), (one) => a.thumbnails.get(one.id) || a.pictures.get(one.id), (one) => outbox.state(one));
    Object.assign(this.v.root.dataset, { at: a.position.at, count: a.position.count, state: now.state, done: a.counts.done });
  }

  close() {
    this.announcer.close();
  }
}

const badgeOf = (state) => ({ whole: t("Whole image · Crop: false"), service: t("Left to the service") })[state] || "";

// The text of an item's state chip.
function chipText(now, item) {
  if (now.from !== "suggestion") return stateWord(now.state);
  return item.method === "stale" ? t("stale: its region is offered") : t("suggestion, {percent} % sure", { percent: Math.round(100 * (item.confidence ?? 0)) });
}

function measureText(box, image) {
  if (!image) return "";
  if (!box) return t("image {w} × {h} px", { w: image.w, h: image.h });
  const w = box.x2 - box.x1;
  const h = box.y2 - box.y1;
  return t("{w} × {h} px · {share} % of {wide} × {high}", { w, h, share: ((100 * w * h) / (image.w * image.h)).toFixed(1), wide: image.w, high: image.h });
}

function sides(item) {
  const names = item.conflict.map((side) => side.who || t("unknown"));
  return t("{names} and {last} decided differently: G shows both; a new decision resolves it", { names: names.slice(0, -1).join(t(", ")), last: names.at(-1) });
}

// Fill the side panel for an item. now: the effective decision; box: as drawn; picture: {w, h, bitmap, …} or null.
export function showItem(v, item, now, box, picture) {
  const image = picture?.w ? picture : null;
  const whole = now.state === "whole" && image ? { x1: 0, y1: 0, x2: image.w, y2: image.h } : null;
  v.name.textContent = item.pic_name;
  v.name.title = item.pic_name;
  v.chip.textContent = chipText(now, item);
  v.chip.dataset.state = now.from === "suggestion" ? "suggestion" : now.state;
  v.badge.textContent = badgeOf(now.state);
  v.badge.hidden = !badgeOf(now.state);
  v.badge.dataset.state = now.state;
  v.flagMark.hidden = !item.flagged;
  v.flag.setAttribute("aria-pressed", String(Boolean(item.flagged)));
  v.failedMark.hidden = !item.failed;
  for (const edge of EDGES) {
    const input = v.numbers[edge].querySelector("input");
    if (input !== input.getRootNode().activeElement) input.value = box ? box[edge] : "";
    input.max = image ? (edge.startsWith("x") ? image.w : image.h) : "";
  }
  const seen = item.service && (whole || box) ? t(" · IoU with the service {iou}", { iou: iou(item.service, whole || box).toFixed(2) }) : "";
  v.measure.textContent = measureText(box, image) + seen;
  const notes = image && box ? warnings(box, image).map((one) => t("Warning: {text}", { text: one })) : [];
  if (item.conflict?.length) notes.unshift(t("Conflict: {text}", { text: sides(item) }));
  const warning = notes.join(" · ");
  if (v.warn.textContent !== warning) v.warn.textContent = warning; // announce it once, not at every refresh
  showCrop(v.crop, picture, whole || box);
  if (v.note !== v.note.getRootNode().activeElement) v.note.value = item.note || "";
  const where = box ? t(", region {edges}", { edges: EDGES.map((edge) => box[edge]).join(" ") }) : "";
  v.stage.setAttribute("aria-label", item.pic_name + t(", ") + stateWord(now.state) + where);
}

// Show whether the displayed decision is saved. owed: "saving", "refused" or "".
export function showSaved(v, now, owed, count) {
  const state = owed === "saving" ? "saving…" : now.from === "draft" ? "not saved" : now.from === "saved" ? "saved" : "";
  v.saved.textContent = { "saving…": t("saving…"), "not saved": t("not saved"), saved: t("saved") }[state] || "";
  v.saved.dataset.state = state;
  v.root.dataset.owed = String(count);
}
