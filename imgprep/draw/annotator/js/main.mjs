import { Connection, token } from "./connection.mjs";
import { Decisions } from "./decisions.mjs";
import { Display } from "./display.mjs";
import { Filmstrip } from "./filmstrip.mjs";
import { isBox } from "./geometry.mjs";
import { Review } from "./grid.mjs";
import { Pictures, Thumbnails, wanted } from "./images.mjs";
import { Input } from "./input.mjs";
import { t, useTexts } from "./language.mjs";
import { Position } from "./position.mjs";
import { Stage } from "./stage.mjs";
import { buildView, fillSelects, showEmpty } from "./view.mjs";

const TEXTS_KEPT = 200;
const conflictHint = () => t("Two people decided differently here: resolve it in the grid (G), draw a box, or press S to skip.");
const NO_FRAME_MS = 300; // a hidden window gets no animation frames; use a timer instead

// One display of the widget, which connects its parts: Decisions (drafts, saves, undo), Position (in the queue),
// Connection (to Python), Stage (image, box, pointer), Input (keys, buttons, fields), Review (the grid), Display (text).
export class Annotator {
  constructor(model, element) {
    this.position = new Position();
    this.texts = new Map();
    this.counts = { done: 0, left: 0, total: 0 };
    this.shownId = null;
    this.closed = false;
    this.v = buildView((name, value) => this.input.act(name, value));
    this.display = new Display(this);
    this.decisions = new Decisions({
      post: (message) => this.connection.post(message), remember: (list) => this.connection.remember(list),
      picture: (id) => this.pictures.get(id), session: () => this.connection.session, token, changed: (id) => this.leaving || this.refresh(id),
    });
    this.pictures = new Pictures((ids) => this.connection.send({ type: "want", ids }));
    this.thumbnails = new Thumbnails((ids) => this.connection.send({ type: "thumbs", ids }));
    this.stage = new Stage(this.v.stage, {
      box: (id, box, edited) => this.boxed(id, box, edited), edge: (edge) => this.stage.setEdge(edge),
      detail: (id, part) => this.connection.send({ type: "detail", id, ...part }), hint: (text) => this.display.status(text),
    });
    this.filmstrip = new Filmstrip(this.v.strip, { open: (at) => this.goTo(at) });
    this.review = new Review(this);
    this.connection = new Connection(model, {
      received: (message, buffers) => this.receive(message, buffers), welcome: (message) => this.welcome(message),
      lost: (error) => this.display.alarm(t("No connection to Python ({error}). Run the cell again: unsaved decisions are kept here.", { error: error.message })),
      late: (id, key) => this.decisions.outbox.flight.get(id)?.key === key && this.display.alarmOwed(),
      resent: (list) => this.display.status(t("{count} earlier saves are being sent again.", { count: list.length })),
    });
    this.input = new Input(this);
    element.append(this.v.root);
    this.connection.hello();
  }

  // Messages from Python

  welcome(message) {
    this.review.page = message.page;
    if (message.in_view) this.v.root.scrollIntoView({ block: "nearest" });
    this.v.root.style.setProperty("--high", `${message.height}px`);
    fillSelects(this.v, message);
    if (message.note) { // a sandbox's boxes must not be taken for the vendor's
      this.stage.serviceLabel = t("service (sandbox)");
      this.display.status(message.note);
    }
  }

  receive(message, buffers) {
    const handlers = {
      arranged: () => this.arranged(message), window: () => this.windowed(message), picture: () => this.pictured(message, buffers[0]),
      items: () => message.items.forEach((item) => this.learn(item)), saved: () => this.answered(message), refused: () => this.answered(message),
      detail: () => this.detailed(message, buffers[0]), thumb: () => this.thumbed(message, buffers[0]), trouble: () => this.display.status(message.why),
    };
    handlers[message.type]?.();
  }

  arranged(message) {
    this.position.arranged(message);
    this.counts = message.counts;
    this.v.show.value = message.show;
    this.v.order.value = message.order;
    this.review.from = message.at;
    showEmpty(this.v, this.empty ? message.show : null);
    this.review.place();
    if (!this.empty) return;
    this.shownId = null;
    this.stage.show(null, null);
    this.v.root.dataset.painted = "";
    this.refresh();
  }

  windowed(message) {
    if (!this.position.count) return;
    const first = !this.position.order.size;
    this.position.learn(message.first, message.items);
    for (const item of message.items) this.learn(item, false);
    this.decisions.dropDistant(new Set(this.position.order.values()));
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
    this.learn(message.item, false); // before the first await, because later messages are newer
    const thumb = { problem: message.problem, bitmap: null };
    if (buffer) thumb.bitmap = await createImageBitmap(new Blob([buffer], { type: message.mime })).catch(() => null);
    if (this.closed) {
      thumb.bitmap?.close();
      return;
    }
    if (this.review.open) this.review.take(this.decisions.items.get(message.id) || message.item, thumb);
    else this.thumbnails.take(message.id, thumb);
    this.refresh(message.id);
  }

  answered(message) {
    const old = this.connection.answeredOld(message.key);
    const sent = this.decisions.answered(message);
    if (old && !sent && message.type === "refused") {
      if (old.region && message.item) this.decisions.drafts.set(message.item.id, { state: old.state, region: old.region, edited: true });
      this.display.alarm(t("An earlier save was refused: {name}: {why}. It is kept as a draft, not saved.", { name: old.pic_name, why: message.why }));
    }
    if (message.counts) this.counts = message.counts;
    this.display.answered(message, sent);
    this.review.take(message.item);
    this.refresh(message.id);
  }

  // Position in the queue

  // Whether the filter matches no image: there is nothing to decide on then.
  get empty() {
    return this.position.count === 0;
  }

  current() {
    return this.position.current();
  }

  item() {
    return this.decisions.items.get(this.current());
  }

  itemAt(at) {
    return this.decisions.items.get(this.position.idAt(at));
  }

  // Whether the item's image is on screen; until then, nothing may be drawn or saved on it.
  painted() {
    const id = this.current();
    return id !== undefined && this.shownId === id && this.stage.shown?.id === id;
  }

  goTo(at) {
    if (!this.position.inside(at)) {
      this.display.status(at < 0 ? t("This is the first image.") : t("This is the last image here. {left} are left in the whole queue.", { left: this.counts.left }));
      this.refresh();
      return;
    }
    this.position.at = at;
    this.display.status(""); // clear the message about the previous image
    this.show();
    if (this.position.nearEdge()) this.connection.send({ type: "window", at, around: 30 });
  }

  show() {
    const id = this.current();
    const picture = this.pictures.get(id);
    this.shownId = id !== undefined && picture ? id : null;
    this.stage.show(this.shownId, this.shownId === null ? null : picture);
    this.display.message(this.shownId === null ? (this.position.count ? t("Loading…") : "") : picture.problem || "");
    this.stage.pointer.panning = false;
    this.display.box();
    this.display.saved();
    this.v.root.dataset.painted = this.shownId === null ? "" : String(this.shownId);
    if (!picture) this.want(); // nothing to paint: request it before the browser's next frame
    // The image is on its canvas; the rest follows once the canvas is on screen.
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.settle(), NO_FRAME_MS);
    this.frame = requestAnimationFrame(() => {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.settle());
    });
  }

  // Request the preview and its neighbours.
  want() {
    this.pictures.want(wanted((at) => this.position.idAt(at), this.position.at));
  }

  // Update neighbours and the panel when there is time.
  settle() {
    if (this.closed) return;
    this.want();
    this.refresh();
    if (!this.review.open) this.thumbnails.soon(this.filmstrip.positions(this.position.at).map((at) => this.position.idAt(at)));
  }

  refresh(id = this.current()) {
    if (!this.closed && this.connection) this.display.refresh(id);
  }

  // Actions

  boxed(id, box, edited) {
    if (id !== this.current() || !this.painted() || !isBox(box, this.pictures.get(id))) return;
    this.decisions.draft(id, { state: "region", region: box, edited });
  }

  save() {
    const id = this.current();
    if (!this.item() || this.stage.pointer.gesture) return;
    const problem = this.pictures.get(id)?.problem;
    if (!problem && !this.painted()) return; // Enter was pressed before the image was visible
    const { from } = this.decisions.effective(id);
    if (from === "suggestion" && this.item().conflict?.length) {
      this.display.status(conflictHint());
      return;
    }
    const nothingNew = from === "saved" || from === "sent" || (problem && from !== "draft");
    this.leaving = true; // do not repaint this image: the next one has priority
    const done = nothingNew || this.decisions.save(id);
    this.leaving = false;
    if (done) this.goTo(this.position.at + 1);
    else this.display.status(t("Nothing to save yet: draw a box, or press W (whole image), V (leave to the service) or S (skip)."));
  }

  // Save the service's own box and continue.
  acceptService() {
    const item = this.item();
    if (!item || !this.painted() || this.stage.pointer.gesture) return;
    if (!item.service) this.display.status(t("The service was not asked about this image, or detects no subject in it."));
    else if (item.conflict?.length) this.display.status(conflictHint());
    else {
      this.leaving = true; // as when saving
      this.decisions.accept(item, item.service, { service: true });
      this.leaving = false;
      this.goTo(this.position.at + 1);
    }
  }

  // Propose "whole image" or "left to the service", like a box.
  decide(state) {
    if (this.painted() || this.pictures.get(this.current())?.problem) this.decisions.draft(this.current(), { state, region: null });
  }

  travel(way) {
    const id = this.decisions.travel(way);
    if (id === null) {
      this.display.status(t("Nothing more."));
      return;
    }
    const at = this.position.positionOf(id);
    if (at === undefined) this.connection.send({ type: "arrange", show: "all", order: this.v.order.value, id });
    else if (at !== this.position.at) this.goTo(at);
  }

  mark(values) {
    if (this.item() && this.decisions.mark(this.current(), values)) this.display.status(t("Saved together with the region."));
  }

  close() {
    this.closed = true;
    for (const part of [this.connection, this.input, this.display, this.stage, this.pictures, this.review, this.thumbnails]) part.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.v.root.remove();
  }
}

function render({ model, el: element }) {
  useTexts(model.get("texts"));
  const annotator = new Annotator(model, element);
  return () => annotator.close();
}

export default { render };
