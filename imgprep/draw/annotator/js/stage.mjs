import { boxBetween, clamp, dragHandle, fit, hit, hitHandle, isClick, keepInSight, toImage, toStage, visible, zoomAt } from "./geometry.mjs";
import { t } from "./language.mjs";
import { EDGE_OF, paintBox, paintCross, paintService, paintWhole } from "./paint.mjs";

// The stage: one canvas for the image, one above it for the box, and the pointer over both. It reports a box with the
// id of the item on which the gesture began.
export class Stage {
  // on: {box(id, box, edited), edge(name), detail(id, part), hint(text)}
  constructor(element, on) {
    this.element = element;
    this.on = on;
    this.back = document.createElement("canvas");
    this.front = document.createElement("canvas");
    element.append(this.back, this.front);
    this.shown = null; // {id, picture, image: {w, h}}
    this.box = null;
    this.whole = null; // the edges of the image, if the whole image is the subject
    this.service = null; // the service's box
    this.serviceLabel = t("service");
    this.dashed = false;
    this.edge = null;
    this.view = { scale: 1, ox: 0, oy: 0 };
    this.size = { w: 0, h: 0, dpr: 0 };
    this.fitted = true;
    this.frame = 0;
    this.detail = null;
    this.timer = 0;
    this.stop = new AbortController();
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false, signal: this.stop.signal });
    this.pointer = new Pointer(this);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(element);
    this.themes = new MutationObserver(() => this.paint());
    this.themes.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    this.resize();
  }

  // Show an image synchronously; null shows nothing.
  show(id, picture) {
    this.pointer.cancel();
    this.dropDetail();
    this.shown = picture && picture.bitmap ? { id, picture, image: { w: picture.w, h: picture.h } } : null;
    this.edge = null;
    this.resize(false);
    if (this.shown) this.view = fit(this.size, this.shown.image);
    this.fitted = true;
    this.paint();
  }

  setBox(box, dashed, whole = null, service = this.service) {
    this.box = box;
    this.service = service;
    this.dashed = dashed;
    this.whole = whole;
    this.paintFront();
  }

  setEdge(edge) {
    this.edge = edge;
    this.paintFront();
  }

  resize(paint = true) {
    const w = this.element.clientWidth;
    const h = this.element.clientHeight;
    const dpr = window.devicePixelRatio || 1;
    if (w === this.size.w && h === this.size.h && dpr === this.size.dpr) return;
    this.size = { w, h, dpr };
    for (const canvas of [this.back, this.front]) {
      canvas.width = Math.max(1, Math.round(w * dpr));
      canvas.height = Math.max(1, Math.round(h * dpr));
      canvas.style.width = `${w}px`;
      canvas.style.height = `${h}px`;
    }
    if (this.shown && this.fitted) this.view = fit(this.size, this.shown.image);
    if (paint) this.paint();
  }

  paint() {
    const context = this.back.getContext("2d", { alpha: false }); // opaque: no blending
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = getComputedStyle(this.element.parentElement || this.element).backgroundColor; // the theme's
    context.fillRect(0, 0, this.back.width, this.back.height);
    if (this.shown) {
      const { picture, image } = this.shown;
      const { dpr } = this.size;
      const { scale, ox, oy } = this.view;
      context.imageSmoothingEnabled = (scale * dpr * image.w) / picture.pw < 2;
      context.setTransform(dpr * scale, 0, 0, dpr * scale, dpr * ox, dpr * oy);
      context.drawImage(picture.bitmap, 0, 0, image.w, image.h);
      if (this.detail) {
        const { part, bitmap } = this.detail;
        context.imageSmoothingEnabled = scale * dpr < 2;
        context.drawImage(bitmap, part.x1, part.y1, part.x2 - part.x1, part.y2 - part.y1);
      }
    }
    this.paintFront();
  }

  paintFront() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const context = this.front.getContext("2d");
    const { dpr, w, h } = this.size;
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.clearRect(0, 0, w, h);
    if (!this.shown) return;
    if (this.whole) paintWhole(context, toStage(this.view, this.whole));
    if (this.service) paintService(context, toStage(this.view, this.service), getComputedStyle(this.element).getPropertyValue("--service"), this.serviceLabel);
    if (this.box) paintBox(context, this.view, this.box, { dashed: this.dashed, edge: this.edge, image: this.shown.image, size: this.size });
    const { first } = this.pointer;
    if (first) paintCross(context, toStage(this.view, { x1: first.x, y1: first.y, x2: first.x, y2: first.y }), this.size);
  }

  soon() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.paintFront());
  }

  // The page scrolls as usual unless the widget has the focus.
  wheel(event) {
    const root = this.element.closest(".ipr");
    if (!this.shown || (!event.ctrlKey && !root.contains(root.getRootNode().activeElement))) return;
    event.preventDefault();
    const p = this.pointer.at(event);
    const notches = event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY;
    this.zoom(Math.exp(-clamp(notches, -200, 200) * 0.0025), p);
  }

  zoom(factor, p = { x: this.size.w / 2, y: this.size.h / 2 }) {
    if (!this.shown || this.pointer.gesture) return;
    this.view = keepInSight(zoomAt(this.view, p.x, p.y, factor), this.size, this.shown.image);
    this.fitted = false;
    this.paint();
    this.askDetail();
  }

  fit() {
    if (!this.shown) return;
    this.view = fit(this.size, this.shown.image);
    this.fitted = true;
    this.dropDetail();
    this.paint();
  }

  // One image pixel per screen pixel, aligned: a pointer on whole pixels is then exact.
  actual() {
    if (!this.shown) return;
    this.zoom(1 / (this.view.scale * this.size.dpr), this.box ? this.middle() : undefined);
    const { left, top } = this.element.getBoundingClientRect();
    const { dpr } = this.size;
    const onPixel = (offset, start) => Math.round((offset + start) * dpr) / dpr - start;
    this.view = { scale: 1 / dpr, ox: onPixel(this.view.ox, left), oy: onPixel(this.view.oy, top) };
    this.paint();
  }

  middle() {
    const s = toStage(this.view, this.box);
    return { x: clamp(s.x + s.w / 2, 0, this.size.w), y: clamp(s.y + s.h / 2, 0, this.size.h) };
  }

  // If the preview is coarser than the screen, request the visible part once the view is at rest.
  askDetail() {
    clearTimeout(this.timer);
    const { picture, image, id } = this.shown;
    if (picture.pw >= image.w || this.view.scale * this.size.dpr < (1.15 * picture.pw) / image.w) return;
    this.timer = setTimeout(() => {
      const part = this.shown && this.shown.id === id && visible(this.view, this.size, image);
      if (part) this.on.detail(id, part);
    }, 140);
  }

  takeDetail(id, part, bitmap) {
    if (!this.shown || this.shown.id !== id) {
      bitmap.close();
      return;
    }
    this.dropDetail();
    this.detail = { part, bitmap };
    this.paint();
  }

  dropDetail() {
    clearTimeout(this.timer);
    this.detail?.bitmap.close();
    this.detail = null;
  }

  close() {
    this.stop.abort();
    this.pointer.close();
    this.observer.disconnect();
    this.themes.disconnect();
    cancelAnimationFrame(this.frame);
    this.dropDetail();
    this.shown = null;
  }
}

const CURSORS = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize", n: "ns-resize", s: "ns-resize", w: "ew-resize", e: "ew-resize", move: "move" };

// Pointer gestures on the stage: a drag or two clicks draw a box, handles resize it, its inside moves it, and Space
// or the middle button pans.
export class Pointer {
  constructor(stage) {
    this.stage = stage;
    this.gesture = null;
    this.first = null; // first corner of two clicks
    this.held = null; // the box shown before the gesture
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

  // Whether a gesture is in progress: the stage then shows its box, not the decision.
  get busy() {
    return Boolean(this.gesture || this.first);
  }

  at(event) {
    const rect = this.stage.element.getBoundingClientRect(); // pointer events include fractions of a pixel
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
      this.stage.on.hint(t("That was outside the image."));
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
        this.stage.on.hint(t("Now the opposite corner."));
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

  // Cancel a gesture; true if there was one.
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
