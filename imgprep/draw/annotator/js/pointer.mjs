import { boxBetween, clamp, dragHandle, hit, hitHandle, isClick, keepInSight, toImage } from "./geometry.mjs";
import { EDGE_OF } from "./paint.mjs";

const CURSORS = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize", n: "ns-resize", s: "ns-resize", w: "ew-resize", e: "ew-resize", move: "move" };

// What a pointer does on the stage: drag or two clicks make a box, handles pull it, its inside moves it, Space and the
// middle button pan.
export class Pointer {
  constructor(stage) {
    this.stage = stage;
    this.gesture = null;
    this.first = null; // first corner of two clicks
    this.held = null; // what was shown before it
    this.twoClick = false;
    this.panning = false;
    this.stop = new AbortController();
    const listen = (name, handler) => stage.element.addEventListener(name, handler, { signal: this.stop.signal });
    listen("pointerdown", (event) => this.down(event));
    listen("pointermove", (event) => this.move(event));
    listen("pointerup", (event) => this.up(event));
    listen("pointercancel", () => this.cancel());
    listen("contextmenu", (event) => this.gesture && event.preventDefault());
  }

  // In the midst of a box: what is shown is the hand's, not what is decided.
  get busy() {
    return Boolean(this.gesture || this.first);
  }

  at(event) {
    const rect = this.stage.element.getBoundingClientRect(); // pointer events keep fractions of a pixel
    return { x: event.clientX - rect.left, y: event.clientY - rect.top };
  }

  under(p) {
    return (this.stage.dashed ? hitHandle : hit)(this.stage.view, this.stage.box, p.x, p.y);
  }

  down(event) {
    if (!this.stage.shown || this.gesture) return;
    const p = this.at(event);
    const pan = event.button === 1 || (event.button === 0 && this.panning);
    if (event.button !== 0 && !pan) return;
    if (pan) event.preventDefault();
    this.stage.element.setPointerCapture(event.pointerId);
    const grip = pan ? null : this.under(p);
    this.gesture = { id: this.stage.shown.id, pointer: event.pointerId, from: p, start: toImage(this.stage.view, p.x, p.y), grip, pan, before: this.stage.box, dashed: this.stage.dashed, view: this.stage.view, moved: false };
  }

  move(event) {
    if (!this.stage.shown) return;
    const p = this.at(event);
    const g = this.gesture;
    if (!g) {
      const over = this.panning ? "grab" : this.first ? "crosshair" : CURSORS[this.under(p)] || "crosshair";
      if (this.stage.element.style.cursor !== over) this.stage.element.style.cursor = over;
      if (this.first) {
        this.stage.box = boxBetween(this.first, toImage(this.stage.view, p.x, p.y), this.stage.shown.image);
        this.stage.dashed = false;
        this.stage.soon();
      }
      return;
    }
    if (event.pointerId !== g.pointer) return;
    if (!g.moved && isClick(g.from, p)) return;
    g.moved = true;
    if (g.pan) {
      this.stage.view = keepInSight({ ...g.view, ox: g.view.ox + p.x - g.from.x, oy: g.view.oy + p.y - g.from.y }, this.stage.size, this.stage.shown.image);
      this.stage.fitted = false;
      this.stage.paint();
      return;
    }
    this.stage.box = this.result(g, p);
    this.stage.dashed = false;
    this.stage.soon();
  }

  result(g, p) {
    const here = toImage(this.stage.view, p.x, p.y);
    if (g.grip) return dragHandle(g.before, g.grip, here.x - g.start.x, here.y - g.start.y, this.stage.shown.image);
    return boxBetween(g.start, here, this.stage.shown.image);
  }

  up(event) {
    const g = this.gesture;
    if (!g || event.pointerId !== g.pointer) return;
    this.gesture = null;
    const p = this.at(event);
    if (!this.stage.shown || this.stage.shown.id !== g.id) return;
    if (g.pan) {
      this.stage.askDetail();
      return;
    }
    if (!g.moved && isClick(g.from, p)) {
      this.clicked(g, toImage(this.stage.view, p.x, p.y));
      return;
    }
    const box = this.result(g, p);
    if (!box) {
      this.stage.setBox(g.before, g.dashed);
      this.stage.on.hint("That was outside the image.");
      return;
    }
    this.first = null;
    this.stage.on.box(g.id, box, Boolean(g.grip));
  }

  clicked(g, point) {
    if (this.twoClick && (!g.grip || this.first)) {
      if (!this.first) {
        this.first = { x: Math.round(clamp(point.x, 0, this.stage.shown.image.w)), y: Math.round(clamp(point.y, 0, this.stage.shown.image.h)) };
        this.held = { box: this.stage.box, dashed: this.stage.dashed };
        this.stage.on.hint("Now the opposite corner.");
        this.stage.paintFront();
        return;
      }
      const box = boxBetween(this.first, point, this.stage.shown.image);
      this.first = null;
      if (box) this.stage.on.box(g.id, box, false);
      else this.stage.setBox(this.held.box, this.held.dashed);
      return;
    }
    if (g.grip && EDGE_OF[g.grip]) this.stage.on.edge(EDGE_OF[g.grip]);
  }

  // Drop a gesture; true where there was one.
  cancel() {
    const g = this.gesture;
    const had = Boolean(g || this.first);
    if (g) {
      this.gesture = null;
      if (this.stage.element.hasPointerCapture(g.pointer)) this.stage.element.releasePointerCapture(g.pointer);
      if (g.moved && !g.pan) this.stage.setBox(g.before, g.dashed);
    }
    if (this.first) {
      this.first = null;
      this.stage.setBox(this.held.box, this.held.dashed);
    }
    return had;
  }

  close() {
    this.stop.abort();
  }
}
