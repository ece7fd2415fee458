import { t } from "./language.mjs";
import { el, stateWord } from "./view.mjs";

// Styles for the sides of a conflict: different colours, and dashes for every second side.
export const SIDE_COLOURS = ["#38d6ff", "#ff8ad4", "#ffd24a"];

// Paint a thumbnail with its box into a canvas of `side` CSS pixels.
export function drawThumb(canvas, thumb, item, side) {
  const dpr = window.devicePixelRatio || 1;
  canvas.width = Math.round(side * dpr);
  canvas.height = Math.round(side * dpr);
  const context = canvas.getContext("2d");
  if (!thumb || !thumb.bitmap) return;
  const { width, height } = thumb.bitmap;
  const scale = Math.min(canvas.width / width, canvas.height / height);
  const w = width * scale;
  const h = height * scale;
  const left = (canvas.width - w) / 2;
  const top = (canvas.height - h) / 2;
  context.drawImage(thumb.bitmap, left, top, w, h);
  const boxes = item?.conflict?.length ? item.conflict.map((side, number) => [side.region, SIDE_COLOURS[number % SIDE_COLOURS.length], number % 2 === 1]) :
    item ? [[item.region || item.suggestion, item.region ? "#38d6ff" : "#ffd24a", !item.region]] : [];
  const frame = { left, top, kx: w / (item?.size?.[0] || 1), ky: h / (item?.size?.[1] || 1), dpr };
  for (const [box, colour, dashed] of boxes) {
    if (box && item.size) outlineThumb(context, frame, box, colour, dashed);
  }
}

function outlineThumb(context, { left, top, kx, ky, dpr }, box, colour, dashed) {
  const rect = [left + box.x1 * kx, top + box.y1 * ky, (box.x2 - box.x1) * kx, (box.y2 - box.y1) * ky];
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.lineWidth = 3.5 * dpr;
  context.strokeRect(...rect);
  context.strokeStyle = colour;
  context.lineWidth = 2 * dpr;
  if (dashed) context.setLineDash([5 * dpr, 4 * dpr]);
  context.strokeRect(...rect);
  context.setLineDash([]);
}

// The neighbours of the item shown: at most `count` tiles, each with its state; elements are reused.
export class Filmstrip {
  constructor(element, { open, count = 13 }) {
    this.element = element;
    this.count = count;
    this.at = 0;
    this.tiles = []; // {tile, canvas, and its content: item, thumb, dpr}
    for (let number = 0; number < count; number += 1) {
      const canvas = el("canvas", { "aria-hidden": "true" });
      const tile = el("button", { type: "button", class: "ipr-tile", role: "option", tabindex: -1 }, canvas, el("span", { class: "ipr-tile-why" }), el("span", { class: "ipr-dot" }));
      tile.addEventListener("click", () => tile.dataset.at && open(Number(tile.dataset.at)));
      this.tiles.push({ tile, canvas });
      element.append(tile);
    }
  }

  // The visible positions around a position.
  positions(at) {
    return this.tiles.map((_, number) => at - Math.floor(this.count / 2) + number);
  }

  // Show the neighbours of a position. itemAt(position) → item or undefined; thumbOf(item) → {bitmap} or null; owed(id) → "saving", "refused" or "".
  show({ at, count }, itemAt, thumbOf, owed) {
    if (this.element.hidden) return;
    const half = Math.floor(this.count / 2);
    this.roll(at);
    this.tiles.forEach((one, number) => {
      const { tile } = one;
      const position = at - half + number;
      const item = itemAt(position);
      tile.style.visibility = item ? "" : "hidden";
      if (!item) {
        delete tile.dataset.at;
        return;
      }
      tile.dataset.at = position;
      tile.dataset.state = owed(item.id) || item.state;
      tile.dataset.flagged = item.flagged ? "yes" : "";
      tile.setAttribute("aria-selected", position === at ? "true" : "false");
      tile.setAttribute("aria-posinset", position + 1);
      tile.setAttribute("aria-setsize", count);
      const thumb = thumbOf(item);
      const problem = thumb?.problem || "";
      tile.title = `${item.pic_name}${t(": ")}${stateWord(item.state)}${item.flagged ? t(", flagged") : ""}${problem && `\n${problem}`}`;
      tile.setAttribute("aria-label", tile.title);
      const dpr = window.devicePixelRatio;
      if (one.item === item && one.thumb === thumb && one.dpr === dpr) return;
      Object.assign(one, { item, thumb, dpr });
      drawThumb(one.canvas, thumb, item, 52);
      one.canvas.nextSibling.textContent = problem ? t("cannot be shown") : "";
    });
  }

  // Tiles move with their items, so that a step redraws only one tile.
  roll(at) {
    const by = at - this.at;
    this.at = at;
    if (Math.abs(by) >= this.count) return;
    for (let step = 0; step < by; step += 1) {
      this.tiles.push(this.tiles.shift());
      this.element.append(this.tiles.at(-1).tile);
    }
    for (let step = 0; step > by; step -= 1) {
      this.tiles.unshift(this.tiles.pop());
      this.element.prepend(this.tiles[0].tile);
    }
  }
}
