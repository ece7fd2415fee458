import { clamp, handlePoints, toStage } from "./geometry.mjs";

export const EDGE_OF = { n: "y1", s: "y2", w: "x1", e: "x2" };

// A light line on a dark one is visible on every image.
function outline(context, s, style, dash = []) {
  for (const [width, colour, pattern] of [[4, "rgba(0, 0, 0, 0.55)", []], [2, style, dash]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.setLineDash(pattern);
    context.strokeRect(s.x, s.y, s.w, s.h);
  }
  context.setLineDash([]);
}

function paintHandles(context, view, box, edge) {
  for (const [name, [x, y]] of Object.entries(handlePoints(view, box))) {
    const chosen = EDGE_OF[name] && EDGE_OF[name] === edge;
    const r = chosen ? 6 : 4.5;
    context.fillStyle = chosen ? "#ff5c8a" : "#ffffff";
    context.strokeStyle = "rgba(0, 0, 0, 0.75)";
    context.lineWidth = 1;
    context.beginPath();
    context.rect(x - r, y - r, 2 * r, 2 * r);
    context.fill();
    context.stroke();
  }
}

function paintSize(context, s, box, size) {
  const label = `${box.x2 - box.x1} × ${box.y2 - box.y1}`;
  context.font = "12px ui-monospace, monospace";
  const wide = context.measureText(label).width + 10;
  const x = clamp(s.x, 2, Math.max(2, size.w - wide - 2));
  const y = s.y > 24 ? s.y - 22 : Math.min(s.y + 6, size.h - 20);
  context.fillStyle = "rgba(10, 14, 22, 0.8)";
  context.fillRect(x, y, wide, 18);
  context.fillStyle = "#ffffff";
  context.fillText(label, x + 5, y + 13);
}

// Draw a region, or a suggestion (dashed), and darken the image outside a region. All in CSS pixels of the stage.
export function paintBox(context, view, box, { dashed, edge, image, size }) {
  const s = toStage(view, box);
  if (!dashed) {
    const frame = toStage(view, { x1: 0, y1: 0, x2: image.w, y2: image.h });
    context.fillStyle = "rgba(10, 14, 22, 0.42)";
    context.beginPath();
    context.rect(frame.x, frame.y, frame.w, frame.h);
    context.rect(s.x, s.y, s.w, s.h);
    context.fill("evenodd");
  }
  outline(context, s, dashed ? "#ffd24a" : "#38d6ff", dashed ? [8, 6] : []);
  paintHandles(context, view, box, edge);
  paintSize(context, s, box, size);
}

// Draw the service's box, dashed, with its name below it, where neither a size nor a handle stands.
export function paintService(context, s, colour, label) {
  outline(context, s, colour, [3, 5]);
  context.font = "12px ui-monospace, monospace";
  const wide = context.measureText(label).width + 14;
  const x = Math.max(0, s.x + s.w - wide);
  const y = Math.min(s.y + s.h + 5, context.canvas.height / (window.devicePixelRatio || 1) - 18);
  context.fillStyle = "rgba(10, 14, 22, 0.8)";
  context.fillRect(x, y, wide, 18);
  context.fillStyle = colour;
  context.fillRect(x, y, 4, 18);
  context.fillStyle = "#ffffff";
  context.fillText(label, x + 9, y + 13);
}

// Draw the frame of an image whose subject is the whole image.
export function paintWhole(context, s) {
  outline(context, s, "#5fe08f");
}

// Mark the position of the first of two clicks.
export function paintCross(context, s, size) {
  context.strokeStyle = "#38d6ff";
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(s.x, 0);
  context.lineTo(s.x, size.h);
  context.moveTo(0, s.y);
  context.lineTo(size.w, s.y);
  context.stroke();
}
