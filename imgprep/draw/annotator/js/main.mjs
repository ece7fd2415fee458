import { Decisions } from "./decisions.mjs";
import { Display } from "./display.mjs";
import { isBox } from "./geometry.mjs";
import { Hands } from "./hands.mjs";
import { Link, token } from "./link.mjs";
import { Pictures } from "./pictures.mjs";
import { Place } from "./place.mjs";
import { wanted } from "./queue.mjs";
import { Review } from "./review.mjs";
import { Stage } from "./stage.mjs";
import { Strip } from "./strip.mjs";
import { Thumbs } from "./thumbs.mjs";
import { buildView, fillSelects } from "./view.mjs";

const TEXTS_KEPT = 200;
const NO_FRAME_MS = 300; // a window that nobody sees gets no frames: what follows them is done without

// One display of the widget: it puts the parts together. Decisions holds what is decided, Place where in the queue we
// are, Link talks to Python, Stage is the picture and the box, Hands are the keys, buttons and fields, Review is the
// grid, and Display says it all on the screen.
export class Annotator {
  constructor(model, element) {
    this.place = new Place();
    this.texts = new Map();
    this.counts = { done: 0, left: 0, total: 0 };
    this.shownId = null;
    this.closed = false;
    this.v = buildView((name, value) => this.hands.act(name, value));
    this.display = new Display(this);
    this.decisions = new Decisions({
      post: (message) => this.link.post(message), remember: (list) => this.link.remember(list),
      picture: (id) => this.pictures.get(id), session: () => this.link.session, token, changed: (id) => this.leaving || this.refresh(id),
    });
    this.pictures = new Pictures((ids) => this.link.send({ type: "want", ids }));
    this.thumbs = new Thumbs((ids) => this.link.send({ type: "thumbs", ids }));
    this.stage = new Stage(this.v.stage, {
      box: (id, box, edited) => this.boxed(id, box, edited), edge: (edge) => this.stage.setEdge(edge),
      detail: (id, part) => this.link.send({ type: "detail", id, ...part }), hint: (text) => this.display.say(text),
    });
    this.strip = new Strip(this.v.strip, { open: (at) => this.goTo(at) });
    this.review = new Review(this);
    this.link = new Link(model, {
      heard: (message, buffers) => this.heard(message, buffers), welcome: (message) => this.welcome(message),
      lost: (error) => this.display.alarm(`No connection to Python (${error.message}). Run the cell again: what is not saved is kept here.`),
      late: (id, key) => this.decisions.outbox.flight.get(id)?.key === key && this.display.alarmOwed(),
      resent: (list) => this.display.say(`${list.length} saves from before are sent again.`),
    });
    this.hands = new Hands(this);
    element.append(this.v.root);
    this.link.hello();
  }

  // Hearing

  welcome(message) {
    this.review.page = message.page;
    this.v.root.style.setProperty("--high", `${message.height}px`);
    fillSelects(this.v, message);
  }

  heard(message, buffers) {
    const handlers = {
      arranged: () => this.arranged(message), window: () => this.windowed(message), picture: () => this.pictured(message, buffers[0]),
      items: () => message.items.forEach((item) => this.learn(item)), saved: () => this.answered(message), refused: () => this.answered(message),
      detail: () => this.detailed(message, buffers[0]), thumb: () => this.thumbed(message, buffers[0]), trouble: () => this.display.say(message.why),
    };
    handlers[message.type]?.();
  }

  arranged(message) {
    this.place.arranged(message);
    this.counts = message.counts;
    this.v.show.value = message.show;
    this.v.order.value = message.order;
    this.review.from = message.at;
    if (this.place.count) return;
    this.shownId = null;
    this.stage.show(null, null);
    this.display.message(message.show === "all" ? "There are no images in this queue." : "No image is left under this filter.");
    if (this.review.open) this.review.show();
    this.refresh();
  }

  windowed(message) {
    if (!this.place.count) return;
    const first = !this.place.order.size;
    this.place.told(message.first, message.items);
    for (const item of message.items) this.learn(item, false);
    this.decisions.forget(new Set(this.place.order.values()));
    if (this.review.open) this.review.show();
    if (first || this.shownId !== this.current()) this.show();
    else this.refresh();
  }

  learn(item, refresh = true) {
    if (!item || !this.decisions.learn(item)) return;
    this.review.take(item);
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
    if (this.review.open) this.review.take(this.decisions.items.get(message.id) || message.item, thumb);
    else this.thumbs.take(message.id, thumb);
    this.refresh(message.id);
  }

  answered(message) {
    const old = this.link.answeredOld(message.key);
    const sent = this.decisions.answered(message);
    if (old && !sent && message.type === "refused") {
      if (old.region && message.item) this.decisions.drafts.set(message.item.id, { state: old.state, region: old.region, edited: true });
      this.display.alarm(`A save from before was refused: ${old.pic_name}: ${message.why}. It is kept there, not saved.`);
    }
    if (message.counts) this.counts = message.counts;
    this.display.answered(message, sent);
    this.review.take(message.item);
    this.refresh(message.id);
  }

  // Where we are

  current() {
    return this.place.current();
  }

  item() {
    return this.decisions.items.get(this.current());
  }

  itemAt(at) {
    return this.decisions.items.get(this.place.idAt(at));
  }

  // Whether the picture of the item is on the screen: before that, nothing may be drawn or saved on it.
  painted() {
    const id = this.current();
    return id !== undefined && this.shownId === id && this.stage.shown?.id === id;
  }

  goTo(at) {
    if (!this.place.inside(at)) {
      this.display.say(at < 0 ? "This is the first image." : `This is the last image here. ${this.counts.left} are left in the whole queue.`);
      this.refresh();
      return;
    }
    this.place.at = at;
    this.display.say(""); // what was said of the image before
    this.show();
    if (this.place.nearEdge()) this.link.send({ type: "window", at, around: 30 });
  }

  show() {
    const id = this.current();
    const picture = this.pictures.get(id);
    this.shownId = id !== undefined && picture ? id : null;
    this.stage.show(this.shownId, this.shownId === null ? null : picture);
    this.display.message(this.shownId === null ? (this.place.count ? "Loading…" : "") : picture.problem || "");
    this.stage.pointer.panning = false;
    this.display.box();
    this.display.saved();
    this.v.root.dataset.painted = this.shownId === null ? "" : String(this.shownId);
    if (!picture) this.want(); // there is nothing to paint: it is asked for before the browser's next frame
    // The picture is on its canvas now; everything else follows once it is on the screen.
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.settle(), NO_FRAME_MS);
    this.frame = requestAnimationFrame(() => {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.settle());
    });
  }

  // Ask for the picture and for those around it.
  want() {
    this.pictures.want(wanted((at) => this.place.idAt(at), this.place.at));
  }

  // What a picture's neighbours and the panel need, when there is time for it.
  settle() {
    if (this.closed) return;
    this.want();
    this.refresh();
    if (!this.review.open) this.thumbs.soon(this.strip.positions(this.place.at).map((at) => this.place.idAt(at)));
  }

  refresh(id = this.current()) {
    if (!this.closed && this.link) this.display.refresh(id);
  }

  // Doing

  boxed(id, box, edited) {
    if (id !== this.current() || !this.painted() || !isBox(box, this.pictures.get(id))) return;
    this.decisions.draft(id, { state: "region", region: box, edited });
  }

  save() {
    const id = this.current();
    if (!this.item() || this.stage.pointer.gesture) return;
    const problem = this.pictures.get(id)?.problem;
    if (!problem && !this.painted()) return; // Enter on a picture that nobody has seen yet
    const { from } = this.decisions.effective(id);
    if (from === "suggestion" && this.item().conflict?.length) {
      this.display.say("Two people decided differently here: settle it in the grid (G), or draw, or S to skip.");
      return;
    }
    const nothingNew = from === "saved" || from === "sent" || (problem && from !== "draft");
    this.leaving = true; // nothing more is painted of this image: the next one comes first
    const done = nothingNew || this.decisions.save(id);
    this.leaving = false;
    if (done) this.goTo(this.place.at + 1);
    else this.display.say("Nothing to save yet: draw a box, or W whole image, V to the service, S skip.");
  }

  // Whole image, or left to the service: a proposal like a box.
  decide(state) {
    if (this.painted() || this.pictures.get(this.current())?.problem) this.decisions.draft(this.current(), { state, region: null });
  }

  travel(way) {
    const id = this.decisions.travel(way);
    if (id === null) {
      this.display.say("Nothing more.");
      return;
    }
    const at = this.place.positionOf(id);
    if (at === undefined) this.link.send({ type: "arrange", show: "all", order: this.v.order.value, id });
    else if (at !== this.place.at) this.goTo(at);
  }

  mark(values) {
    if (this.item() && this.decisions.mark(this.current(), values)) this.display.say("Saved together with the region.");
  }

  close() {
    this.closed = true;
    for (const part of [this.link, this.hands, this.display, this.stage, this.pictures, this.review, this.thumbs]) part.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.v.root.remove();
  }
}

function render({ model, el: element }) {
  const annotator = new Annotator(model, element);
  return () => annotator.close();
}

export default { render };
