import { t } from "./language.mjs";

// Pure geometry for one image on one stage. Boxes are {x1, y1, x2, y2}: whole pixels of the upright image, x2 and y2
// exclusive. A transform is {scale, ox, oy}: stage px = image px * scale + offset.

export const EDGES = ["x1", "y1", "x2", "y2"];
export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
export const CLICK_PX = 3; // a pointer that moves less is clicking, not dragging

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

export function fit(stage, image, margin = 14) {
  const scale = Math.min((stage.w - 2 * margin) / image.w, (stage.h - 2 * margin) / image.h, 8);
  const kept = Math.max(scale, 0.005);
  return { scale: kept, ox: (stage.w - image.w * kept) / 2, oy: (stage.h - image.h * kept) / 2 };
}

export function zoomAt(view, px, py, factor, { min = 0.02, max = 32 } = {}) {
  const scale = clamp(view.scale * factor, min, max);
  const real = scale / view.scale;
  return { scale, ox: px - (px - view.ox) * real, oy: py - (py - view.oy) * real };
}

// Keep part of the image visible while panning.
export function keepInSight(view, stage, image, least = 40) {
  return {
    scale: view.scale,
    ox: clamp(view.ox, least - image.w * view.scale, stage.w - least),
    oy: clamp(view.oy, least - image.h * view.scale, stage.h - least),
  };
}

export function toImage(view, px, py) {
  return { x: (px - view.ox) / view.scale, y: (py - view.oy) / view.scale };
}

export function toStage(view, box) {
  return {
    x: box.x1 * view.scale + view.ox,
    y: box.y1 * view.scale + view.oy,
    w: (box.x2 - box.x1) * view.scale,
    h: (box.y2 - box.y1) * view.scale,
  };
}

// Two points in image coordinates → the box between the nearest pixel edges, inside the image; null if empty.
export function boxBetween(a, b, image) {
  const x1 = clamp(Math.round(Math.min(a.x, b.x)), 0, image.w);
  const x2 = clamp(Math.round(Math.max(a.x, b.x)), 0, image.w);
  const y1 = clamp(Math.round(Math.min(a.y, b.y)), 0, image.h);
  const y2 = clamp(Math.round(Math.max(a.y, b.y)), 0, image.h);
  return x1 < x2 && y1 < y2 ? { x1, y1, x2, y2 } : null;
}

// Intersection over union, 0 to 1.
export function iou(a, b) {
  const across = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const down = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (across <= 0 || down <= 0) return 0;
  const area = (box) => (box.x2 - box.x1) * (box.y2 - box.y1);
  return (across * down) / (area(a) + area(b) - across * down);
}

export function isClick(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y) < CLICK_PX;
}

export function handlePoints(view, box) {
  const s = toStage(view, box);
  const mx = s.x + s.w / 2;
  const my = s.y + s.h / 2;
  return {
    nw: [s.x, s.y], n: [mx, s.y], ne: [s.x + s.w, s.y], e: [s.x + s.w, my],
    se: [s.x + s.w, s.y + s.h], s: [mx, s.y + s.h], sw: [s.x, s.y + s.h], w: [s.x, my],
  };
}

// The handle of a suggestion under the pointer. A drag from anywhere else, even from inside, draws a new box.
export function hitHandle(view, box, px, py, reach = 7) {
  if (!box) return null;
  const near = ([x, y]) => Math.hypot(px - x, py - y) <= reach;
  return Object.entries(handlePoints(view, box)).find(([, point]) => near(point))?.[0] || null;
}

// The grip under the pointer: a handle, "move", or null. Corners take precedence over sides, handles over the inside; a
// small box keeps a "move" grip in its middle.
export function hit(view, box, px, py, reach = 9) {
  if (!box) return null;
  const s = toStage(view, box);
  const points = handlePoints(view, box);
  const small = Math.min(s.w, s.h) < 3 * reach;
  const inside = px > s.x && px < s.x + s.w && py > s.y && py < s.y + s.h;
  if (small && inside && Math.hypot(px - s.x - s.w / 2, py - s.y - s.h / 2) < reach / 2) return "move";
  for (const name of ["nw", "ne", "se", "sw"]) {
    if (Math.hypot(px - points[name][0], py - points[name][1]) <= reach) return name;
  }
  const alongX = px > s.x && px < s.x + s.w;
  const alongY = py > s.y && py < s.y + s.h;
  const side = reach * 0.7;
  if (alongX && Math.abs(py - s.y) <= side) return "n";
  if (alongX && Math.abs(py - s.y - s.h) <= side) return "s";
  if (alongY && Math.abs(px - s.x) <= side) return "w";
  if (alongY && Math.abs(px - s.x - s.w) <= side) return "e";
  return inside ? "move" : null;
}

// Drag a handle of `box` by (dx, dy) image pixels. Dragged past the other side, the box flips; it is never empty.
export function dragHandle(box, handle, dx, dy, image) {
  if (handle === "move") return moveBy(box, Math.round(dx), Math.round(dy), image);
  const a = { x: box.x1, y: box.y1 };
  const b = { x: box.x2, y: box.y2 };
  if (handle.includes("w")) a.x += dx;
  if (handle.includes("e")) b.x += dx;
  if (handle.includes("n")) a.y += dy;
  if (handle.includes("s")) b.y += dy;
  return boxBetween(a, b, image) || box;
}

export function moveBy(box, dx, dy, image) {
  const w = box.x2 - box.x1;
  const h = box.y2 - box.y1;
  const x1 = clamp(box.x1 + dx, 0, image.w - w);
  const y1 = clamp(box.y1 + dy, 0, image.h - h);
  return { x1, y1, x2: x1 + w, y2: y1 + h };
}

// Move one edge ("x1", "y1", "x2", "y2") by whole pixels; it stays on the image and at least 1 px from the opposite edge.
export function nudgeEdge(box, edge, by, image) {
  const limits = {
    x1: [0, box.x2 - 1], x2: [box.x1 + 1, image.w], y1: [0, box.y2 - 1], y2: [box.y1 + 1, image.h],
  }[edge];
  return { ...box, [edge]: clamp(box[edge] + by, ...limits) };
}

export function isBox(box, image) {
  return Boolean(box) && [box.x1, box.y1, box.x2, box.y2].every(Number.isInteger) &&
    box.x1 >= 0 && box.y1 >= 0 && box.x1 < box.x2 && box.y1 < box.y2 && box.x2 <= image.w && box.y2 <= image.h;
}

export function sameBox(a, b) {
  return a === b || Boolean(a && b && a.x1 === b.x1 && a.y1 === b.y1 && a.x2 === b.x2 && a.y2 === b.y2);
}

// Warnings about a box that is probably a mistake.
export function warnings(box, image) {
  const found = [];
  const w = box.x2 - box.x1;
  const h = box.y2 - box.y1;
  const share = (w * h) / (image.w * image.h);
  if (share < 0.02 || Math.min(w, h) < 32) found.push(t("tiny"));
  const sides = [
    [t("left"), box.x1 === 0], [t("top"), box.y1 === 0], [t("right"), box.x2 === image.w], [t("bottom"), box.y2 === image.h],
  ].filter((side) => side[1]).map((side) => side[0]);
  if (sides.length === 4) found.push(t("the whole image"));
  else if (sides.length) found.push(t("touches the {edges} edge", { edges: sides.join(t(", ")) }));
  return found;
}

// The part of the image that the stage shows, in whole image pixels; null if none.
export function visible(view, stage, image) {
  const a = toImage(view, 0, 0);
  const b = toImage(view, stage.w, stage.h);
  const x1 = clamp(Math.floor(a.x), 0, image.w);
  const y1 = clamp(Math.floor(a.y), 0, image.h);
  const x2 = clamp(Math.ceil(b.x), 0, image.w);
  const y2 = clamp(Math.ceil(b.y), 0, image.h);
  return x1 < x2 && y1 < y2 ? { x1, y1, x2, y2 } : null;
}
