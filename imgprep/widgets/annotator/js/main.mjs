import { isBox, moveBy, nudgeEdge, sameBox, warnings } from "./geometry.mjs";
import { Grid } from "./grid.mjs";
import { actionOf, belongsToPage } from "./keys.mjs";
import { Pictures } from "./pictures.mjs";
import { Outbox, Steps, wanted } from "./queue.mjs";
import { Stage } from "./stage.mjs";
import { Strip } from "./strip.mjs";
import { buildView, fillSelects, showCounts, showCrop, showText, STATE_WORDS } from "./view.mjs";

const EDGES = ["x1", "y1", "x2", "y2"];
const LATE_MS = 6000; // an answer that takes longer is worth a warning

function token() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// One display of the widget. Python owns the truth: everything here is a proposal until it says "saved".
export class Annotator {
  constructor(model, element) {
    this.model = model;
    this.name = token();
    this.session = null;
    this.items = new Map(); // id → as Python told last
    this.order = new Map(); // position in the filtered queue → id
    this.drafts = new Map(); // id → {state, region, edited}: changed here, not sent yet
    this.texts = new Map();
    this.thumbs = new Map();
    this.thumbsAsked = new Set();
    this.steps = new Steps();
    this.at = 0;
    this.count = 0;
    this.counts = { done: 0, left: 0, total: 0 };
    this.last = null; // box of the last save, for "same as previous"
    this.gridFrom = 0;
    this.closed = false;
    this.v = buildView((name, value) => this.act(name, value));
    this.outbox = new Outbox((message) => this.post(message), (list) => this.remember(list));
    this.pictures = new Pictures((ids) => this.send({ type: "want", ids }));
    this.stage = new Stage(this.v.stage, {
      box: (id, box, edited) => this.boxed(id, box, edited),
      edge: (edge) => this.stage.setEdge(edge),
      detail: (id, part) => this.send({ type: "detail", id, ...part }),
      hint: (text) => this.say(text),
    });
    this.strip = new Strip(this.v.strip, { open: (at) => this.goTo(at) });
    this.grid = new Grid(this.v.grid, {
      accept: (items) => this.acceptAll(items),
      open: (id) => this.openFromGrid(id),
      ask: (ids) => this.send({ type: "thumbs", ids, suggest: true }),
      page: (by) => this.gridPage(by),
      close: () => this.toggleGrid(false),
    });
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.v.root.addEventListener("keydown", (event) => this.keydown(event), { signal });
    this.v.root.addEventListener("keyup", (event) => this.keyup(event), { signal });
    this.v.root.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("input, select, textarea, button")) this.v.root.focus({ preventScroll: true });
    }, { signal });
    this.hear = (message, buffers) => this.heard(message, buffers || []);
    model.on("msg:custom", this.hear);
    element.append(this.v.root);
    this.send({ type: "hello" });
  }

  // The wire

  send(content) {
    try {
      this.model.send({ view: this.name, session: this.session, ...content });
    } catch (error) {
      this.alarm(`No connection to Python (${error.message}). Run the cell again: what is not saved is kept here.`);
    }
  }

  post(message) {
    this.send(message);
    setTimeout(() => {
      if (!this.closed && this.outbox.flight.get(message.id)?.key === message.key) this.alarmOwed();
    }, LATE_MS);
    this.showSaved();
  }

  // What Python has not confirmed outlives a reload and a kernel restart.
  remember(list) {
    if (!this.store) return;
    const name = `imgprep:${this.store}:${this.name}`;
    try {
      if (list.length) localStorage.setItem(name, JSON.stringify(list));
      else localStorage.removeItem(name);
    } catch {
      // Private windows may have no storage; the alarm still says what is not saved.
    }
  }

  replay() {
    const found = [];
    try {
      for (const name of Object.keys(localStorage)) {
        if (!name.startsWith(`imgprep:${this.store}:`) || name.endsWith(this.name)) continue;
        found.push(...JSON.parse(localStorage.getItem(name)));
        localStorage.removeItem(name);
      }
    } catch {
      return;
    }
    this.replayed = new Map(found.map((message) => [message.key, message]));
    for (const message of found) this.send({ ...message, view: this.name });
    if (found.length) this.say(`${found.length} saves from before are sent again.`);
  }

  heard(message, buffers) {
    if (this.closed || !message || (this.session && message.session !== this.session && message.type !== "welcome")) return;
    const mine = message.view === this.name;
    if (message.type === "welcome") {
      if (!mine) return;
      this.session = message.session;
      this.store = message.store;
      this.page = message.page;
      this.v.frame.style.height = `${message.height}px`;
      this.v.side.style.height = `${message.height}px`;
      fillSelects(this.v, message);
      this.replay();
    } else if (message.type === "arranged" && mine) this.arranged(message);
    else if (message.type === "window" && mine) this.windowed(message);
    else if (message.type === "picture" && mine) this.pictured(message, buffers[0]);
    else if (message.type === "items") message.items.forEach((item) => this.learn(item));
    else if (message.type === "saved" || message.type === "refused") this.answered(message);
    else if (message.type === "detail" && mine) this.detailed(message, buffers[0]);
    else if (message.type === "thumb" && mine) this.thumbed(message, buffers[0]);
    else if (message.type === "trouble" && mine) this.say(message.why);
  }

  arranged(message) {
    this.order.clear();
    this.count = message.count;
    this.counts = message.counts;
    this.v.show.value = message.show;
    this.v.order.value = message.order;
    this.at = message.at;
    if (!this.count) {
      this.shownId = null;
      this.stage.show(null, null);
      this.message(message.show === "all" ? "There are no images in this queue." : "No image is left under this filter.");
      this.refresh();
    }
  }

  windowed(message) {
    const first = !this.order.size;
    message.items.forEach((item, offset) => {
      this.order.set(message.first + offset, item.id);
      this.learn(item, false);
    });
    // Far-off positions are forgotten, so that a long day does not fill the memory.
    for (const at of this.order.keys()) {
      if (Math.abs(at - this.at) > 300) this.order.delete(at);
    }
    if (this.grid.visible) this.gridShow();
    if (first || this.shownId !== this.order.get(this.at)) this.show();
    else this.refresh();
  }

  learn(item, refresh = true) {
    if (!item) return;
    const known = this.items.get(item.id);
    if (known && item.rev < known.rev) return; // overtaken on the way
    this.items.set(item.id, item);
    if (this.grid.visible) this.grid.take(item, null);
    if (refresh) this.refresh(item.id);
  }

  async pictured(message, buffer) {
    if (message.text) this.texts.set(message.id, message.text);
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
    const thumb = { problem: message.problem, bitmap: null };
    if (buffer) thumb.bitmap = await createImageBitmap(new Blob([buffer], { type: message.mime })).catch(() => null);
    if (this.closed) return;
    this.learn(message.item, false);
    if (this.grid.visible) {
      this.grid.take(message.item, thumb);
      return;
    }
    this.thumbs.get(message.id)?.bitmap?.close();
    this.thumbs.set(message.id, thumb);
    for (const id of [...this.thumbs.keys()].slice(0, Math.max(0, this.thumbs.size - 60))) {
      this.thumbs.get(id).bitmap?.close();
      this.thumbs.delete(id);
      this.thumbsAsked.delete(id);
    }
    this.refresh(message.id);
  }

  answered(message) {
    const old = this.replayed?.get(message.key);
    if (old) {
      this.replayed.delete(message.key);
      if (message.type === "refused") this.alarm(`A save from before was refused: ${old.pic_name}: ${message.why}`);
    }
    const sent = this.outbox.answered(message);
    this.learn(message.item, false);
    if (message.counts) this.counts = message.counts;
    if (sent && message.type === "refused") {
      // What was drawn is kept as a draft: nothing that a person made disappears.
      this.drafts.set(message.id, { state: sent.state, region: sent.region, edited: true });
      this.outbox.forget(message.id);
      this.alarm(`NOT SAVED: ${sent.pic_name}: ${message.why}`, message.id);
    } else if (sent && this.alarmed === message.id) this.alarm(null);
    if (!this.outbox.busy && this.alarmed === "owed") this.alarm(null);
    this.refresh(message.id);
  }

  // Where we are

  current() {
    return this.order.get(this.at);
  }

  item() {
    return this.items.get(this.current());
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
      this.send({ type: "window", at, around: 30 });
    }
  }

  show() {
    const id = this.current();
    const picture = this.pictures.get(id);
    if (id === undefined || !picture) {
      this.shownId = null;
      this.stage.show(null, null);
      this.message(this.count ? "Loading…" : "");
    } else {
      this.shownId = id;
      this.stage.show(id, picture);
      this.message(picture.problem || "");
    }
    this.stage.panning = false;
    this.showBox();
    // The picture is on its canvas now; everything else may follow it.
    this.v.root.dataset.painted = this.shownId === null ? "" : String(this.shownId);
    cancelAnimationFrame(this.later);
    this.later = requestAnimationFrame(() => {
      if (this.closed) return;
      this.refresh();
      this.pictures.want(wanted((at) => this.order.get(at), this.at));
      clearTimeout(this.thumbTimer);
      this.thumbTimer = setTimeout(() => this.askThumbs(), 200);
    });
  }

  askThumbs() {
    const ids = [];
    for (let at = this.at - 6; at <= this.at + 6; at += 1) {
      const id = this.order.get(at);
      if (id !== undefined && !this.thumbsAsked.has(id)) ids.push(id);
    }
    for (const id of ids) this.thumbsAsked.add(id);
    if (ids.length && !this.grid.visible) this.send({ type: "thumbs", ids });
  }

  // What holds on screen for an item: a draft, what was sent, what Python said, or a suggestion.
  effective(id) {
    const draft = this.drafts.get(id);
    if (draft) return { ...draft, from: "draft" };
    const owed = this.outbox.waiting.get(id) || this.outbox.flight.get(id);
    if (owed) return { state: owed.state, region: owed.region, from: "sent" };
    const item = this.items.get(id);
    if (!item) return { state: "undone", region: null, from: "none" };
    if (["undone", "stale"].includes(item.state)) return { state: item.state, region: item.suggestion, from: item.suggestion ? "suggestion" : "none" };
    return { state: item.state, region: item.region, from: "saved" };
  }

  // Doing

  propose(id, draft) {
    const before = this.snapshot(id);
    this.drafts.set(id, draft);
    this.steps.did({ id, before, after: this.snapshot(id) });
    this.refresh(id);
  }

  snapshot(id) {
    const owed = this.outbox.waiting.get(id) || this.outbox.flight.get(id);
    const item = this.items.get(id) || {};
    const saved = owed || { state: item.state === "stale" ? "undone" : item.state, region: item.region };
    return { draft: this.drafts.get(id) || null, saved: { state: saved.state, region: saved.region || null } };
  }

  boxed(id, box, edited) {
    const picture = this.pictures.get(id);
    if (id !== this.current() || !this.painted() || !isBox(box, picture)) return;
    this.propose(id, { state: "region", region: box, edited });
  }

  // Send what an item is to be. The message says all that Python needs to see that it is about this very image.
  commit(id, what, extra = {}) {
    const item = this.items.get(id);
    const picture = this.pictures.get(id);
    const size = picture?.w ? [picture.w, picture.h] : item.size;
    this.outbox.put({
      type: "save", key: token(), id, pic_name: item.pic_name, product_id: item.product_id, rev: item.rev, session: this.session,
      size: size || null, digest: picture?.digest || item.digest || null, state: what.state, region: what.region || null,
      edited: Boolean(what.edited), ...(this.marks?.id === id ? this.marks.values : {}), ...extra,
    });
    if (this.marks?.id === id) this.marks = null;
    this.drafts.delete(id);
    this.refresh(id);
  }

  save() {
    const id = this.current();
    const item = this.item();
    if (id === undefined || !item || this.stage.gesture) return;
    const problem = this.pictures.get(id)?.problem;
    const now = this.effective(id);
    if (problem && now.from !== "draft") {
      this.goTo(this.at + 1);
      return;
    }
    if (!problem && !this.painted()) return; // Enter on a picture that nobody has seen yet
    if (now.from === "saved" || now.from === "sent") {
      this.goTo(this.at + 1);
      return;
    }
    if (now.from === "none" || (now.state === "region" && !now.region)) {
      this.say("Nothing to save yet: draw a box, or W whole image, V to the service, S skip.");
      return;
    }
    const before = this.snapshot(id);
    const what = now.from === "suggestion" ? { state: "region", region: now.region } : now;
    if (what.region) this.last = what.region;
    this.commit(id, what);
    this.steps.did({ id, before, after: this.snapshot(id) });
    this.goTo(this.at + 1);
  }

  replayStep(step, side) {
    if (!step) {
      this.say("Nothing more.");
      return;
    }
    const target = step[side];
    const at = [...this.order].find(([, id]) => id === step.id)?.[0];
    const now = this.snapshot(step.id);
    if (!this.items.has(step.id)) return;
    if (now.saved.state !== target.saved.state || !sameBox(now.saved.region, target.saved.region)) this.commit(step.id, target.saved);
    if (target.draft) this.drafts.set(step.id, target.draft);
    else this.drafts.delete(step.id);
    if (at === undefined) this.send({ type: "arrange", show: "all", order: this.v.order.value, id: step.id });
    else if (at !== this.at) this.goTo(at);
    this.refresh(step.id);
  }

  mark(values) {
    const id = this.current();
    const item = this.item();
    if (!item) return;
    if (item.state === "stale" || this.drafts.has(id)) {
      this.marks = { id, values: { ...(this.marks?.id === id ? this.marks.values : {}), ...values } };
      this.items.set(id, { ...item, ...values });
      this.say("Saved together with the region.");
      this.refresh(id);
    } else this.commit(id, this.snapshot(id).saved, values);
  }

  nudge(dx, dy) {
    const id = this.current();
    const now = this.effective(id);
    if (!this.painted() || !now.region) return;
    const image = this.stage.shown.image;
    const edge = this.stage.edge;
    const along = edge && (edge.startsWith("x") ? dx : dy);
    if (edge && !along) return;
    const box = edge ? nudgeEdge(now.region, edge, along, image) : moveBy(now.region, dx, dy, image);
    if (!sameBox(box, now.region)) this.propose(id, { state: "region", region: box, edited: true });
  }

  typed({ edge, value }) {
    const id = this.current();
    if (!this.painted()) return;
    const now = this.effective(id);
    const image = this.stage.shown.image;
    const from = now.region || { x1: 0, y1: 0, x2: image.w, y2: image.h };
    const box = { ...from, [edge]: value.trim() === "" ? NaN : Number(value) };
    if (isBox(box, image)) this.propose(id, { state: "region", region: box, edited: true });
    else {
      this.say(`${value || "nothing"}: needs a whole number with left < right ≤ ${image.w} and top < bottom ≤ ${image.h}.`);
      this.showBox();
    }
  }

  remove() {
    const id = this.current();
    const item = this.item();
    if (!item) return;
    const saved = !["undone", "stale"].includes(item.state) || this.outbox.state(id);
    const before = this.snapshot(id);
    if (saved) this.commit(id, { state: "undone", region: null });
    else if (this.drafts.has(id)) this.drafts.delete(id);
    else if (item.suggestion) this.items.set(id, { ...item, suggestion: null });
    else return;
    this.steps.did({ id, before, after: this.snapshot(id) });
    this.refresh(id);
  }

  same() {
    if (!this.painted()) return;
    const { w, h } = this.stage.shown.image;
    const box = this.last && { x1: this.last.x1, y1: this.last.y1, x2: Math.min(this.last.x2, w), y2: Math.min(this.last.y2, h) };
    if (box && isBox(box, { w, h })) this.propose(this.current(), { state: "region", region: box, edited: false });
    else this.say(this.last ? "The box before does not fit on this image." : "There is no box before this one yet.");
  }

  escape() {
    if (!this.v.help.hidden) this.act("help");
    else if (this.stage.cancel()) return;
    else if (this.stage.edge) this.stage.setEdge(null);
    else if (this.drafts.has(this.current())) {
      const id = this.current();
      const before = this.snapshot(id);
      this.drafts.delete(id);
      this.steps.did({ id, before, after: this.snapshot(id) });
      this.refresh(id);
    }
  }

  act(name, value) {
    const id = this.current();
    const usable = this.painted() || Boolean(this.pictures.get(id)?.problem);
    const decide = (state) => usable && this.propose(id, { state, region: null });
    const actions = {
      save: () => this.save(), back: () => this.goTo(this.at - 1), skip: () => this.goTo(this.at + 1),
      whole: () => decide("whole"), service: () => decide("service"), remove: () => this.remove(), same: () => this.same(),
      undo: () => this.replayStep(this.steps.undo(), "before"), redo: () => this.replayStep(this.steps.redo(), "after"),
      flag: () => this.item() && this.mark({ flagged: !this.item().flagged }), note: () => this.v.note.focus(),
      noted: () => this.mark({ note: value }), number: () => this.typed(value), escape: () => this.escape(),
      zoomIn: () => this.stage.zoom(1.25), zoomOut: () => this.stage.zoom(0.8), fit: () => this.stage.fit(), actual: () => this.stage.actual(),
      edge: () => this.stage.setEdge(EDGES[EDGES.indexOf(this.stage.edge) + 1] || null),
      twoClick: () => {
        this.stage.cancel();
        this.stage.twoClick = !this.stage.twoClick;
        this.v.root.dataset.twoClick = this.stage.twoClick ? "yes" : "";
        this.say(this.stage.twoClick ? "Two clicks make a box." : "Dragging makes a box.");
      },
      panning: () => { this.stage.panning = true; },
      find: () => this.v.find.focus(),
      show: () => this.send({ type: "arrange", show: value, order: this.v.order.value, page: 0 }),
      order: () => this.send({ type: "arrange", show: this.v.show.value, order: value, page: 0 }),
      grid: () => this.toggleGrid(!this.grid.visible),
      help: () => {
        this.v.help.hidden = !this.v.help.hidden;
        if (this.v.help.hidden) this.v.root.focus({ preventScroll: true });
      },
    };
    actions[name]?.();
    // A pressed button keeps no focus: the next Enter is the widget's, not the button's.
    if (!["note", "find", "noted", "number"].includes(name) && this.v.root.contains(document.activeElement ?? null)) this.v.root.focus({ preventScroll: true });
  }

  keydown(event) {
    if (!belongsToPage(event)) event.stopPropagation();
    const field = event.target.closest?.("input, select, textarea");
    if (field) {
      this.fieldKey(event, field);
      return;
    }
    if (event.target.closest?.("button") && (event.key === "Enter" || event.key === " ")) return; // presses the button
    if (this.grid.visible && this.v.help.hidden) {
      if (!event.isComposing && this.grid.key(event)) event.preventDefault();
      return;
    }
    const found = actionOf(event);
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    if (found.action === "nudge") this.nudge(found.dx, found.dy);
    else if (!found.repeat || ["zoomIn", "zoomOut", "panning"].includes(found.action)) this.act(found.action);
  }

  fieldKey(event, field) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      this.refresh();
      this.v.root.focus({ preventScroll: true });
    } else if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      if (field === this.v.find) {
        if (field.value.trim()) this.send({ type: "arrange", show: this.v.show.value, order: this.v.order.value, find: field.value });
        field.value = "";
      }
      this.v.root.focus({ preventScroll: true }); // leaving the field makes it tell its change
    }
  }

  keyup(event) {
    if (!belongsToPage(event)) event.stopPropagation();
    if (event.key === " ") this.stage.panning = false;
  }

  // The grid

  toggleGrid(on) {
    if (on) {
      this.gridFrom = this.at;
      this.v.work.hidden = true;
      this.v.grid.hidden = false;
      this.send({ type: "window", at: this.gridFrom, around: this.page });
    } else {
      this.grid.hide();
      this.v.work.hidden = false;
      this.show();
    }
    this.v.root.focus({ preventScroll: true });
  }

  gridShow() {
    const items = [];
    for (let at = this.gridFrom; at < Math.min(this.gridFrom + this.page, this.count); at += 1) {
      const item = this.items.get(this.order.get(at));
      if (item) items.push(item);
    }
    this.grid.show(items, this.gridFrom, this.count);
  }

  gridPage(by) {
    const from = this.gridFrom + by * this.page;
    if (from >= this.count || this.gridFrom + by * this.page <= -this.page) return;
    this.gridFrom = Math.max(0, from);
    this.at = this.gridFrom;
    this.send({ type: "window", at: this.gridFrom, around: this.page });
  }

  acceptAll(items) {
    for (const item of items) {
      const before = this.snapshot(item.id);
      this.commit(item.id, { state: "region", region: item.suggestion });
      this.items.set(item.id, { ...item, state: "region", region: item.suggestion });
      this.grid.take(this.items.get(item.id), null);
      this.steps.did({ id: item.id, before, after: this.snapshot(item.id) });
    }
    this.say(`${items.length} accepted.`);
  }

  openFromGrid(id) {
    const at = [...this.order].find(([, one]) => one === id)?.[0];
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
    const names = this.outbox.all().map((message) => message.pic_name);
    if (names.length) this.alarm(`NOT SAVED YET: ${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}. Python is busy or gone. If the kernel was restarted, run the cell again: these are kept and sent then.`, "owed");
  }

  showBox() {
    const id = this.current();
    const now = this.effective(id);
    const box = this.shownId === id && ["region", "undone", "stale"].includes(now.state) ? now.region : null;
    if (!this.stage.gesture && !this.stage.first) this.stage.setBox(box || null, now.from === "suggestion");
    this.v.root.dataset.box = box ? EDGES.map((edge) => box[edge]).join(",") : "";
    this.v.root.dataset.from = now.from;
    return { now, box };
  }

  showSaved() {
    const id = this.current();
    const owed = this.outbox.state(id);
    const now = this.effective(id);
    const words = owed === "saving" ? "saving…" : now.from === "draft" ? "not saved" : now.from === "saved" ? "saved" : "";
    this.v.saved.textContent = words;
    this.v.saved.dataset.state = words;
    this.v.root.dataset.owed = String(this.outbox.all().length);
  }

  refresh(id = this.current()) {
    if (this.closed) return;
    const here = this.current();
    const item = this.item();
    if (id === here && item) {
      const { now, box } = this.showBox();
      const picture = this.pictures.get(here);
      this.v.name.textContent = item.pic_name;
      this.v.name.title = item.pic_name;
      this.v.chip.textContent = now.from === "suggestion" ? (item.method === "stale" ? "stale: its region is offered" : `suggestion, ${Math.round(100 * (item.confidence ?? 0))} % sure`) : STATE_WORDS[now.state] || now.state;
      this.v.chip.dataset.state = now.from === "suggestion" ? "suggestion" : now.state;
      this.v.flagMark.hidden = !item.flagged;
      for (const edge of EDGES) {
        const input = this.v.numbers[edge].querySelector("input");
        if (input !== input.getRootNode().activeElement) input.value = box ? box[edge] : "";
        input.max = picture ? (edge.startsWith("x") ? picture.w : picture.h) || "" : "";
      }
      const image = picture?.w ? picture : null;
      this.v.measure.textContent = image ? (box ? `${box.x2 - box.x1} × ${box.y2 - box.y1} px · ${((100 * (box.x2 - box.x1) * (box.y2 - box.y1)) / (image.w * image.h)).toFixed(1)} % of ${image.w} × ${image.h}` : `image ${image.w} × ${image.h} px`) : "";
      this.v.warn.textContent = image && box ? warnings(box, image).map((one) => `Warning: ${one}`).join(" · ") : "";
      showCrop(this.v.crop, picture, now.state === "whole" && image ? { x1: 0, y1: 0, x2: image.w, y2: image.h } : box);
      if (this.v.note !== this.v.note.getRootNode().activeElement) this.v.note.value = item.note || "";
      if (this.textOf !== here) {
        showText(this.v, this.texts.get(here));
        this.textOf = this.texts.has(here) ? here : null;
      }
      this.v.stage.setAttribute("aria-label", `${item.pic_name}, ${STATE_WORDS[now.state] || now.state}${box ? `, region ${EDGES.map((edge) => box[edge]).join(" ")}` : ""}`);
    }
    this.showSaved();
    showCounts(this.v, this.counts, this.at, this.count);
    this.strip.show(this.at, (at) => this.items.get(this.order.get(at)), (one) => this.pictures.get(one.id) || this.thumbs.get(one.id) || null, (one) => this.outbox.state(one));
    Object.assign(this.v.root.dataset, { id: here ?? "", at: this.at, count: this.count, state: this.effective(here).state, done: this.counts.done });
    for (const old of [...this.texts.keys()].slice(0, Math.max(0, this.texts.size - 200))) this.texts.delete(old);
  }

  close() {
    this.closed = true;
    this.model.off("msg:custom", this.hear);
    this.stop.abort();
    cancelAnimationFrame(this.later);
    clearTimeout(this.thumbTimer);
    this.stage.close();
    this.pictures.close();
    this.grid.clear();
    for (const thumb of this.thumbs.values()) thumb.bitmap?.close();
    this.v.root.remove();
  }
}

function render({ model, el: element }) {
  const annotator = new Annotator(model, element);
  return () => annotator.close();
}

export default { render };
