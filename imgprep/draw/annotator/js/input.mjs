import { EDGES, isBox, moveBy, nudgeEdge, sameBox } from "./geometry.mjs";
import { t } from "./language.mjs";

// Keyboard, buttons and form fields. Keys not handled here, such as Tab, F5 and Ctrl+S, go to the page.

export const keyList = () => [
  ["Enter", t("save (or accept the suggestion) and continue")],
  ["Shift+Enter", t("back to the previous image")],
  ["S, Page Down · Page Up", t("skip · back, without saving")],
  [t("drag · handles · inside"), t("draw a box · drag an edge · move it")],
  ["T", t("two clicks instead of a drag")],
  [t("arrows · with Shift"), t("move the box (or the chosen edge) 1 px · 10 px")],
  ["E", t("choose an edge for the arrow keys; press again for the next")],
  ["W", t("whole image is the subject (Crop: false)")],
  ["V", t("leave it to the service")],
  ["A", t("accept the service's own box (violet, finely dashed) and continue")],
  ["Delete", t("remove the box, or undo a decision")],
  ["=", t("same box as on the previous image")],
  ["Ctrl+Z · Ctrl+Shift+Z", t("undo · redo, across images too")],
  ["F · N", t("flag for a second look · write a note")],
  [t("wheel · + −"), t("zoom at the pointer")],
  [t("Space and drag, middle button"), t("pan")],
  ["0 · 1", t("fit · one image pixel per screen pixel")],
  ["G", t("grid: accept a page of suggestions, resolve conflicts")],
  ["/", t("jump to a product or image")],
  ["Esc", t("discard unsaved changes; leave a field")],
  ["?", t("this list")],
];

const PLAIN = {
  Enter: "save", PageDown: "skip", PageUp: "back", Delete: "remove", Backspace: "remove", Escape: "escape",
  "+": "zoomIn", "-": "zoomOut", "0": "fit", "1": "actual", "/": "find", "?": "help", "=": "same",
  s: "skip", t: "twoClick", e: "edge", w: "whole", v: "service", a: "acceptService", f: "flag", n: "note", g: "grid", " ": "panning",
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// event: {key, ctrlKey, metaKey, altKey, shiftKey, isComposing, keyCode, repeat} → {action, …} or null.
export function actionOf(event) {
  if (event.isComposing || event.keyCode === 229) return null; // an input method is composing, and handles Enter
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (control && !event.altKey) {
    if (key === "z") return { action: event.shiftKey ? "redo" : "undo" };
    if (key === "y") return { action: "redo" };
    if (key === "Enter") return { action: "none" }; // otherwise Enter would run the cell and remove this widget
    return null;
  }
  if (event.altKey) return null;
  if (ARROWS[key]) {
    const step = event.shiftKey ? 10 : 1;
    return { action: "nudge", dx: ARROWS[key][0] * step, dy: ARROWS[key][1] * step };
  }
  // Holding a key down must not run through the queue.
  if (key === "Enter") return { action: event.repeat ? "none" : event.shiftKey ? "back" : "save" };
  const action = PLAIN[key];
  return action ? { action, repeat: Boolean(event.repeat) } : null;
}

// Whether a key pressed in the widget may reach the notebook, where single letters insert or delete cells.
export function belongsToPage(event) {
  if (event.key === "Tab" || /^F\d+$/.test(event.key)) return true;
  return Boolean(event.ctrlKey || event.metaKey || event.altKey) && event.key !== "Enter";
}

const KEEP_FOCUS = ["note", "find", "noted", "number", "show", "order"]; // actions that keep a form control focused
const WITHOUT_IMAGE = ["show", "showAll", "order", "find", "help", "undo", "redo"]; // actions that need no image
const REPEATABLE = ["zoomIn", "zoomOut", "panning"];

// Maps the keys, buttons and fields of one annotator to its actions.
export class Input {
  constructor(annotator) {
    this.a = annotator;
    this.stop = new AbortController();
    const { root } = annotator.v;
    const listen = (name, handler) => root.addEventListener(name, handler, { signal: this.stop.signal });
    listen("keydown", (event) => this.keydown(event));
    // Notebook 7 captures keys before the widget; it ignores those below an element with this attribute.
    const shield = (event) => root.toggleAttribute("data-lm-suppress-shortcuts", root.contains(event.target) && !belongsToPage(event));
    window.addEventListener("keydown", shield, { capture: true, signal: this.stop.signal });
    listen("keyup", (event) => this.keyup(event));
    listen("focusout", () => { this.a.stage.pointer.panning = false; });
    listen("pointerdown", (event) => {
      if (!event.target.closest("input, select, textarea, button")) root.focus({ preventScroll: true });
    });
  }

  nudge(dx, dy) {
    const id = this.a.current();
    const { region } = this.a.decisions.effective(id);
    const { edge } = this.a.stage;
    const along = edge && (edge.startsWith("x") ? dx : dy);
    if (!this.a.painted() || !region || (edge && !along)) return;
    const { image } = this.a.stage.shown;
    const box = edge ? nudgeEdge(region, edge, along, image) : moveBy(region, dx, dy, image);
    if (!sameBox(box, region)) this.a.decisions.draft(id, { state: "region", region: box, edited: true });
  }

  typeEdge({ edge, value }) {
    const id = this.a.current();
    if (!this.a.painted()) return;
    const { image } = this.a.stage.shown;
    const from = this.a.decisions.effective(id).region || { x1: 0, y1: 0, x2: image.w, y2: image.h };
    const box = { ...from, [edge]: value.trim() === "" ? NaN : Number(value) };
    if (isBox(box, image)) {
      this.a.decisions.draft(id, { state: "region", region: box, edited: true });
      return;
    }
    this.a.display.status(t("{value}: must be a whole number with left < right ≤ {w} and top < bottom ≤ {h}.", { value: value || t("nothing"), w: image.w, h: image.h }));
    this.a.v.numbers[edge].querySelector("input").value = from[edge];
  }

  same() {
    if (!this.a.painted()) return;
    const { w, h } = this.a.stage.shown.image;
    const { last } = this.a.decisions;
    const box = last && { ...last, x2: Math.min(last.x2, w), y2: Math.min(last.y2, h) };
    if (box && isBox(box, { w, h })) this.a.decisions.draft(this.a.current(), { state: "region", region: box, edited: false });
    else this.a.display.status(last ? t("The previous box does not fit on this image.") : t("There is no previous box yet."));
  }

  escape() {
    if (!this.a.v.help.hidden) this.act("help");
    else if (this.a.stage.pointer.cancel()) return;
    else if (this.a.stage.edge) this.a.stage.setEdge(null);
    else this.a.decisions.drop(this.a.current());
  }

  toggleTwoClick() {
    this.a.stage.pointer.cancel();
    this.a.stage.pointer.twoClick = !this.a.stage.pointer.twoClick;
    this.a.v.root.dataset.twoClick = this.a.stage.pointer.twoClick ? "yes" : "";
    this.a.v.twoClick.setAttribute("aria-pressed", String(this.a.stage.pointer.twoClick));
    this.a.display.status(this.a.stage.pointer.twoClick ? t("Two clicks make a box.") : t("Dragging makes a box."));
  }

  toggleHelp() {
    this.a.v.help.hidden = !this.a.v.help.hidden;
    if (!this.a.v.help.hidden) this.a.v.help.querySelector("button").focus({ preventScroll: true });
    else this.a.v.root.focus({ preventScroll: true });
  }

  act(name, value) {
    if (this.a.empty && !WITHOUT_IMAGE.includes(name)) return;
    const actions = {
      save: () => this.a.save(), back: () => this.a.goTo(this.a.position.at - 1), skip: () => this.a.goTo(this.a.position.at + 1),
      whole: () => this.a.decide("whole"), service: () => this.a.decide("service"), acceptService: () => this.a.acceptService(), remove: () => this.a.decisions.remove(this.a.current()), same: () => this.same(),
      undo: () => this.a.travel("undo"), redo: () => this.a.travel("redo"),
      flag: () => this.a.item() && this.a.mark({ flagged: !this.a.item().flagged }), note: () => this.a.v.note.focus(),
      noted: () => this.a.mark({ note: value }), number: () => this.typeEdge(value), escape: () => this.escape(),
      zoomIn: () => this.a.stage.zoom(1.25), zoomOut: () => this.a.stage.zoom(0.8), fit: () => this.a.stage.fit(), actual: () => this.a.stage.actual(),
      edge: () => this.a.stage.setEdge(EDGES[EDGES.indexOf(this.a.stage.edge) + 1] || null),
      twoClick: () => this.toggleTwoClick(), panning: () => { this.a.stage.pointer.panning = true; }, find: () => this.a.v.find.focus(),
      showAll: () => this.act("show", "all"),
      show: () => this.a.connection.send({ type: "arrange", show: value, order: this.a.v.order.value, page: 0 }),
      order: () => this.a.connection.send({ type: "arrange", show: this.a.v.show.value, order: value, page: 0 }),
      grid: () => this.a.review.toggle(!this.a.review.open), help: () => this.toggleHelp(),
    };
    actions[name]?.();
    // Remove the focus from a pressed button, so that the next Enter goes to the widget.
    if (!KEEP_FOCUS.includes(name) && this.a.v.help.hidden && this.a.v.root.contains(document.activeElement)) this.a.v.root.focus({ preventScroll: true });
  }

  keydown(event) {
    if (!belongsToPage(event)) event.stopPropagation();
    const field = event.target.closest?.("input, select, textarea");
    if (field) {
      this.fieldKey(event, field);
      return;
    }
    if (event.target.closest?.("button") && (event.key === "Enter" || event.key === " ")) return; // presses the button
    if (this.a.review.open && this.a.v.help.hidden && event.key !== "?") {
      if (!event.isComposing && this.a.review.grid.key(event)) event.preventDefault();
      return;
    }
    const found = actionOf(event);
    if (!found || (!this.a.v.help.hidden && !["help", "escape"].includes(found.action))) return;
    event.preventDefault();
    event.stopPropagation();
    if (found.action === "nudge") this.nudge(found.dx, found.dy);
    else if (!found.repeat || REPEATABLE.includes(found.action)) this.act(found.action);
  }

  fieldKey(event, field) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      if (field === this.a.v.note) field.value = this.a.item()?.note || ""; // discard the edit: leaving the field sends nothing
      this.a.refresh();
      this.a.v.root.focus({ preventScroll: true });
    } else if (event.key === "Enter" && field.tagName !== "SELECT") {
      event.preventDefault();
      event.stopPropagation();
      if (field === this.a.v.find) {
        if (field.value.trim()) this.a.connection.send({ type: "arrange", show: this.a.v.show.value, order: this.a.v.order.value, find: field.value });
        field.value = "";
      }
      this.a.v.root.focus({ preventScroll: true }); // leaving the field fires its change event
    }
  }

  keyup(event) {
    if (!belongsToPage(event)) event.stopPropagation();
    if (event.key === " ") this.a.stage.pointer.panning = false;
  }

  close() {
    this.stop.abort();
  }
}
