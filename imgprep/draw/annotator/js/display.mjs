import { EDGES, showItem, showSaved } from "./panel.mjs";
import { sentence, Spoken } from "./spoken.mjs";
import { showCounts, showText } from "./view.mjs";

const WHOLE = (image) => ({ x1: 0, y1: 0, x2: image.w, y2: image.h });

// What the screen says of the item that is looked at: its box, its state, whether it is saved, what went wrong.
export class Display {
  constructor(annotator) {
    this.a = annotator;
    this.v = annotator.v;
    this.spoken = new Spoken(this.v.spoken);
    this.alarmed = null; // what the alarm is about: an item's id, "owed" or "other"
    this.textOf = null; // whose product text is shown
  }

  say(text) {
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

  // Python has not answered for a while.
  alarmOwed() {
    const names = this.a.decisions.outbox.all().map((message) => message.pic_name);
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    if (names.length) this.alarm(`NOT SAVED YET: ${names.slice(0, 3).join(", ")}${more}. Python is busy or gone. If the kernel was restarted, run the cell again: these are kept and sent then.`, "owed");
  }

  // An answer to a save came: is there still something to be alarmed about?
  answered(message, sent) {
    if (sent && message.type === "refused") this.alarm(`NOT SAVED: ${sent.pic_name}: ${message.why}`, message.id);
    else if (sent && this.alarmed === message.id) this.alarm(null);
    if (!this.a.decisions.outbox.busy && this.alarmed === "owed") this.alarm(null);
    if (sent && message.type === "saved" && message.id !== this.a.current()) this.spoken.saved(sent.pic_name);
  }

  box() {
    const { stage, decisions } = this.a;
    const id = this.a.current();
    const now = decisions.effective(id);
    const image = this.a.shownId === id ? stage.shown?.image : null;
    const box = (image && now.region) || null;
    const whole = image && now.state === "whole" ? WHOLE(image) : null;
    if (!stage.pointer.busy) stage.setBox(box, now.from === "suggestion", whole);
    this.v.root.dataset.box = box ? EDGES.map((edge) => box[edge]).join(",") : "";
    this.v.root.dataset.from = now.from;
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
      if (!a.review.open && picture) this.spoken.item(sentence({ at: a.place.at, count: a.place.count, item, now, box, owed: outbox.state(here), problem: picture.problem }));
    }
    const now = this.saved();
    showCounts(this.v, a.counts, a.place.at, a.place.count);
    a.strip.show(a.place, (at) => a.itemAt(at), (one) => a.thumbs.get(one.id) || a.pictures.get(one.id), (one) => outbox.state(one));
    Object.assign(this.v.root.dataset, { at: a.place.at, count: a.place.count, state: now.state, done: a.counts.done });
  }

  close() {
    this.spoken.close();
  }
}
