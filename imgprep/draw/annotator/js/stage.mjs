import { clamp, fit, keepInSight, toStage, visible, zoomAt } from "./geometry.mjs";
import { paintBox, paintCross, paintWhole } from "./paint.mjs";
import { Pointer } from "./pointer.mjs";

const GROUND = "#2a2f38"; // as in annotator.css

// The stage: one canvas for the picture, one above it for the box, and the pointer over both. It knows no item but the
// one it shows, and tells of a box with the id that the gesture began on.
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
    this.whole = null; // the image's own edges, where the whole image is the subject
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
    this.resize();
  }

  // Show a picture at once, in this task; null shows nothing.
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

  setBox(box, dashed, whole = null) {
    this.box = box;
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
    const context = this.back.getContext("2d", { alpha: false }); // nothing lies under it: no blending
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = GROUND;
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
    if (this.box) paintBox(context, this.view, this.box, { dashed: this.dashed, edge: this.edge, image: this.shown.image, size: this.size });
    const { first } = this.pointer;
    if (first) paintCross(context, toStage(this.view, { x1: first.x, y1: first.y, x2: first.x, y2: first.y }), this.size);
  }

  soon() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.paintFront());
  }

  // The page scrolls as ever until the widget has the focus.
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

  // One image pixel per screen pixel, and on it: then a pointer on whole pixels is exact.
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

  // A preview that is coarser than the screen: ask for the part in sight, once the view is at rest.
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
    cancelAnimationFrame(this.frame);
    this.dropDetail();
    this.shown = null;
  }
}
