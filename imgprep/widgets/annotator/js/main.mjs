import { Decisions } from "./decisions.mjs";
import { isBox } from "./geometry.mjs";
import { Grid } from "./grid.mjs";
import { Hands } from "./hands.mjs";
import { Link, token } from "./link.mjs";
import { EDGES, showItem, showSaved } from "./panel.mjs";
import { Pictures } from "./pictures.mjs";
import { wanted } from "./queue.mjs";
import { Stage } from "./stage.mjs";
import { Strip } from "./strip.mjs";
import { Thumbs } from "./thumbs.mjs";
import { buildView, fillSelects, showCounts, showText } from "./view.mjs";

const TEXTS_KEPT = 200;
const FAR = 300; // positions further away than this are forgotten

// One display of the widget: it puts the parts together and knows where in the queue it is. Decisions holds what is
// decided, Link talks to Python, Stage is the picture and the box, Hands are the keys, buttons and fields.
export class Annotator {
  constructor(model, element) {
    this.order = new Map(); // position in the filtered queue → id
    this.texts = new Map();
    this.at = 0;
    this.count = 0;
    this.counts = { done: 0, left: 0, total: 0 };
    this.gridFrom = 0;
    this.page = 40;
    this.shownId = null;
    this.closed = false;
    this.v = buildView((name, value) => this.hands.act(name, value));
    this.decisions = new Decisions({
      post: (message) => this.link.post(message), remember: (list) => this.link.remember(list),
      picture: (id) => this.pictures.get(id), session: () => this.link.session, token, changed: (id) => this.leaving || this.refresh(id),
    });
    this.pictures = new Pictures((ids) => this.link.send({ type: "want", ids }));
    this.thumbs = new Thumbs((ids) => this.link.send({ type: "thumbs", ids }));
    this.stage = new Stage(this.v.stage, {
      box: (id, box, edited) => this.boxed(id, box, edited), edge: (edge) => this.stage.setEdge(edge),
      detail: (id, part) => this.link.send({ type: "detail", id, ...part }), hint: (text) => this.say(text),
    });
    this.strip = new Strip(this.v.strip, { open: (at) => this.goTo(at) });
    this.grid = new Grid(this.v.grid, {
      accept: (items) => this.acceptAll(items), settle: (item, side) => this.choose(item, side), open: (id) => this.openFromGrid(id),
      ask: (ids) => this.link.send({ type: "thumbs", ids, suggest: true }), page: (by) => this.gridPage(by), close: () => this.toggleGrid(false),
    });
    this.link = new Link(model, {
      heard: (message, buffers) => this.heard(message, buffers), welcome: (message) => this.welcome(message),
      lost: (error) => this.alarm(`No connection to Python (${error.message}). Run the cell again: what is not saved is kept here.`),
      late: (id, key) => this.decisions.outbox.flight.get(id)?.key === key && this.alarmOwed(),
      resent: (list) => this.say(`${list.length} saves from before are sent again.`),
    });
    this.hands = new Hands(this);
    element.append(this.v.root);
    this.link.hello();
  }

  // Hearing

  welcome(message) {
    this.page = message.page;
    this.v.root.style.setProperty("--high", `${message.height}px`);
    fillSelects(this.v, message);
  }

  heard(message, buffers) {
    const handlers = {
      arranged: () => this.arranged(message), window: () => this.windowed(message), picture: () => this.pictured(message, buffers[0]),
      items: () => message.items.forEach((item) => this.learn(item)), saved: () => this.answered(message), refused: () => this.answered(message),
      detail: () => this.detailed(message, buffers[0]), thumb: () => this.thumbed(message, buffers[0]), trouble: () => this.say(message.why),
    };
    handlers[message.type]?.();
  }

  arranged(message) {
    this.order.clear();
    this.count = message.count;
    this.counts = message.counts;
    this.v.show.value = message.show;
    this.v.order.value = message.order;
    this.at = message.at;
    this.gridFrom = message.at;
    if (this.count) return;
    this.shownId = null;
    this.stage.show(null, null);
    this.message(message.show === "all" ? "There are no images in this queue." : "No image is left under this filter.");
    if (this.grid.visible) this.gridShow();
    this.refresh();
  }

  windowed(message) {
    if (!this.count) return;
    const first = !this.order.size;
    message.items.forEach((item, offset) => {
      this.order.set(message.first + offset, item.id);
      this.learn(item, false);
    });
    for (const at of this.order.keys()) {
      if (Math.abs(at - this.at) > FAR) this.order.delete(at);
    }
    this.decisions.forget(new Set(this.order.values()));
    if (this.grid.visible) this.gridShow();
    if (first || this.shownId !== this.order.get(this.at)) this.show();
    else this.refresh();
  }

  learn(item, refresh = true) {
    if (!item || !this.decisions.learn(item)) return;
    if (this.grid.visible) this.grid.take(item, null);
    if (refresh) this.refresh(item.id);
  }

  async pictured(message, buffer) {
    if (message.text) this.texts.set(message.id, message.text);
    for (const old of [...this.texts.keys()].slice(0, Math.max(0, this.texts.size - TEXTS_KEPT))) this.texts.delete(old);
    this.learn(message.item, false);
    const id = await this.pictures.take(message, buffer);
    if (id !== null && id === this.current() && this.shownId !== id) this.show();
    else if (id !== null) this.refresh(id);
  }

  async detailed(message, buffer) {
    const bitmap = await createImageBitmap(new Blob([buffer], { type: message.mime }));
    this.stage.takeDetail(message.id, { x1: message.x1, y1: message.y1, x2: message.x2, y2: message.y2 }, bitmap);
  }

  async thumbed(message, buffer) {
    this.learn(message.item, false); // before anything is waited for: what comes later is newer
    const thumb = { problem: message.problem, bitmap: null };
    if (buffer) thumb.bitmap = await createImageBitmap(new Blob([buffer], { type: message.mime })).catch(() => null);
    if (this.closed) {
      thumb.bitmap?.close();
      return;
    }
    if (this.grid.visible) this.grid.take(this.decisions.items.get(message.id) || message.item, thumb);
    else this.thumbs.take(message.id, thumb);
    this.refresh(message.id);
  }

  answered(message) {
    const old = this.link.answeredOld(message.key);
    const sent = this.decisions.answered(message);
    if (old && !sent && message.type === "refused") {
      if (old.region && message.item) this.decisions.drafts.set(message.item.id, { state: old.state, region: old.region, edited: true });
      this.alarm(`A save from before was refused: ${old.pic_name}: ${message.why}. It is kept there, not saved.`);
    }
    if (message.counts) this.counts = message.counts;
    if (sent && message.type === "refused") this.alarm(`NOT SAVED: ${sent.pic_name}: ${message.why}`, message.id);
    else if (sent && this.alarmed === message.id) this.alarm(null);
    if (!this.decisions.outbox.busy && this.alarmed === "owed") this.alarm(null);
    if (this.grid.visible && message.item) this.grid.take(message.item, null);
    this.refresh(message.id);
  }

  // Where we are

  current() {
    return this.order.get(this.at);
  }

  item() {
    return this.decisions.items.get(this.current());
  }

  itemAt(at) {
    return this.decisions.items.get(this.order.get(at));
  }

  positionOf(id) {
    return [...this.order].find(([, one]) => one === id)?.[0];
  }

  // Whether the picture of the item is on the screen: before that, nothing may be drawn or saved on it.
  painted() {
    const id = this.current();
    return id !== undefined && this.shownId === id && this.stage.shown?.id === id;
  }

  goTo(at) {
    if (at < 0 || at >= this.count) {
      this.say(at < 0 ? "This is the first image." : `This is the last image here. ${this.counts.left} are left in the whole queue.`);
      this.refresh();
      return;
    }
    this.at = at;
    this.show();
    if (!this.order.has(Math.min(at + 8, this.count - 1)) || !this.order.has(Math.max(at - 8, 0))) {
      this.link.send({ type: "window", at, around: 30 });
    }
  }

  show() {
    const id = this.current();
    const picture = this.pictures.get(id);
    this.shownId = id !== undefined && picture ? id : null;
    this.stage.show(this.shownId, this.shownId === null ? null : picture);
    this.message(this.shownId === null ? (this.count ? "Loading…" : "") : picture.problem || "");
    this.stage.panning = false;
    this.showBox();
    this.showOwed();
    this.v.root.dataset.painted = this.shownId === null ? "" : String(this.shownId);
    // The picture is on its canvas now; everything else follows once it is on the screen.
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.frame = requestAnimationFrame(() => { this.later = setTimeout(() => this.settle()); });
  }

  // What a picture's neighbours and the panel need, when there is time for it.
  settle() {
    if (this.closed) return;
    this.pictures.want(wanted((at) => this.order.get(at), this.at));
    this.refresh();
    if (!this.grid.visible) this.thumbs.soon(this.strip.positions(this.at).map((at) => this.order.get(at)));
  }

  // Doing

  boxed(id, box, edited) {
    if (id !== this.current() || !this.painted() || !isBox(box, this.pictures.get(id))) return;
    this.decisions.draft(id, { state: "region", region: box, edited });
  }

  save() {
    const id = this.current();
    if (!this.item() || this.stage.gesture) return;
    const problem = this.pictures.get(id)?.problem;
    if (!problem && !this.painted()) return; // Enter on a picture that nobody has seen yet
    const { from } = this.decisions.effective(id);
    const nothingNew = from === "saved" || from === "sent" || (problem && from !== "draft");
    this.leaving = true; // nothing more is painted of this image: the next one comes first
    const done = nothingNew || this.decisions.save(id);
    this.leaving = false;
    if (done) this.goTo(this.at + 1);
    else this.say("Nothing to save yet: draw a box, or W whole image, V to the service, S skip.");
  }

  // Whole image, or left to the service: a proposal like a box.
  decide(state) {
    if (this.painted() || this.pictures.get(this.current())?.problem) this.decisions.draft(this.current(), { state, region: null });
  }

  travel(way) {
    const id = this.decisions.travel(way);
    if (id === null) {
      this.say("Nothing more.");
      return;
    }
    const at = this.positionOf(id);
    if (at === undefined) this.link.send({ type: "arrange", show: "all", order: this.v.order.value, id });
    else if (at !== this.at) this.goTo(at);
  }

  mark(values) {
    if (this.item() && this.decisions.mark(this.current(), values)) this.say("Saved together with the region.");
  }

  // The grid

  toggleGrid(on) {
    this.v.work.hidden = on;
    if (on) {
      this.gridFrom = this.at;
      this.v.grid.hidden = false;
      this.link.send({ type: "window", at: this.gridFrom, around: this.page });
    } else {
      this.grid.hide();
      this.show();
    }
    this.v.root.focus({ preventScroll: true });
  }

  gridShow() {
    const items = [];
    for (let at = this.gridFrom; at < Math.min(this.gridFrom + this.page, this.count); at += 1) {
      if (this.itemAt(at)) items.push(this.itemAt(at));
    }
    this.grid.show(items, this.gridFrom, this.count);
  }

  gridPage(by) {
    const from = this.gridFrom + by * this.page;
    if (from >= this.count || from <= -this.page) return;
    this.gridFrom = Math.max(0, from);
    this.at = this.gridFrom;
    this.link.send({ type: "window", at: this.gridFrom, around: this.page });
  }

  acceptAll(items) {
    for (const item of items) {
      this.decisions.accept(item);
      this.grid.take(this.decisions.items.get(item.id), null);
    }
    this.say(`${items.length} accepted.`);
  }

  choose(item, side) {
    this.decisions.settle(item, side);
    this.grid.take(this.decisions.items.get(item.id), null);
    this.say(`${item.pic_name}: ${side.who || "the other side"} it is.`);
  }

  openFromGrid(id) {
    const at = this.positionOf(id);
    this.toggleGrid(false);
    if (at !== undefined) this.goTo(at);
  }

  // Showing

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

  alarmOwed() {
    const names = this.decisions.outbox.all().map((message) => message.pic_name);
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    if (names.length) this.alarm(`NOT SAVED YET: ${names.slice(0, 3).join(", ")}${more}. Python is busy or gone. If the kernel was restarted, run the cell again: these are kept and sent then.`, "owed");
  }

  showBox() {
    const id = this.current();
    const now = this.decisions.effective(id);
    const image = this.stage.shown?.image;
    const drawn = this.shownId === id && image ? now.region : null;
    const box = drawn || null;
    const whole = this.shownId === id && image && now.state === "whole" ? { x1: 0, y1: 0, x2: image.w, y2: image.h } : null;
    if (!this.stage.gesture && !this.stage.first) this.stage.setBox(box, now.from === "suggestion", whole);
    this.v.root.dataset.box = box ? EDGES.map((edge) => box[edge]).join(",") : "";
    this.v.root.dataset.from = now.from;
    return { now, box };
  }

  showOwed() {
    const id = this.current();
    const { outbox } = this.decisions;
    const now = this.decisions.effective(id);
    showSaved(this.v, now, outbox.state(id), outbox.all().length);
    this.v.root.dataset.id = id ?? "";
    return now;
  }

  refresh(id = this.current()) {
    if (this.closed || !this.link) return;
    const here = this.current();
    const item = this.item();
    const { outbox } = this.decisions;
    if (id === here && item) {
      const { now, box } = this.showBox();
      showItem(this.v, item, now, box, this.pictures.get(here));
      if (this.textOf !== here) {
        showText(this.v, this.texts.get(here));
        this.textOf = this.texts.has(here) ? here : null;
      }
    }
    const now = this.showOwed();
    showCounts(this.v, this.counts, this.at, this.count);
    this.strip.show(this.at, (at) => this.itemAt(at), (one) => this.thumbs.get(one.id) || this.pictures.get(one.id), (one) => outbox.state(one));
    Object.assign(this.v.root.dataset, { at: this.at, count: this.count, state: now.state, done: this.counts.done });
  }

  close() {
    this.closed = true;
    this.link.close();
    this.hands.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.stage.close();
    this.pictures.close();
    this.grid.clear();
    this.thumbs.close();
    this.v.root.remove();
  }
}

function render({ model, el: element }) {
  const annotator = new Annotator(model, element);
  return () => annotator.close();
}

export default { render };
