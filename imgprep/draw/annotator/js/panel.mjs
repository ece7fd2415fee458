import { warnings } from "./geometry.mjs";
import { showCrop, STATE_WORDS } from "./view.mjs";

export const EDGES = ["x1", "y1", "x2", "y2"];

const BADGES = { whole: "Whole image · Crop: false", service: "Left to the service" };

// What the chip says of an item.
function chipText(now, item) {
  if (now.from !== "suggestion") return STATE_WORDS[now.state] || now.state;
  return item.method === "stale" ? "stale: its region is offered" : `suggestion, ${Math.round(100 * (item.confidence ?? 0))} % sure`;
}

function measureText(box, image) {
  if (!image) return "";
  if (!box) return `image ${image.w} × ${image.h} px`;
  const w = box.x2 - box.x1;
  const h = box.y2 - box.y1;
  return `${w} × ${h} px · ${((100 * w * h) / (image.w * image.h)).toFixed(1)} % of ${image.w} × ${image.h}`;
}

function sides(item) {
  const names = item.conflict.map((side) => side.who || "somebody");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)} decided differently: G shows both; a new decision settles it`;
}

// Fill the side panel for an item. now: what holds; box: what is drawn; picture: {w, h, bitmap, …} or null.
export function showItem(v, item, now, box, picture) {
  const image = picture?.w ? picture : null;
  const whole = now.state === "whole" && image ? { x1: 0, y1: 0, x2: image.w, y2: image.h } : null;
  v.name.textContent = item.pic_name;
  v.name.title = item.pic_name;
  v.chip.textContent = chipText(now, item);
  v.chip.dataset.state = now.from === "suggestion" ? "suggestion" : now.state;
  v.badge.textContent = BADGES[now.state] || "";
  v.badge.hidden = !BADGES[now.state];
  v.badge.dataset.state = now.state;
  v.flagMark.hidden = !item.flagged;
  v.flag.setAttribute("aria-pressed", String(Boolean(item.flagged)));
  v.failedMark.hidden = !item.failed;
  for (const edge of EDGES) {
    const input = v.numbers[edge].querySelector("input");
    if (input !== input.getRootNode().activeElement) input.value = box ? box[edge] : "";
    input.max = image ? (edge.startsWith("x") ? image.w : image.h) : "";
  }
  v.measure.textContent = measureText(box, image);
  const said = image && box ? warnings(box, image).map((one) => `Warning: ${one}`) : [];
  if (item.conflict?.length) said.unshift(`Conflict: ${sides(item)}`);
  const warning = said.join(" · ");
  if (v.warn.textContent !== warning) v.warn.textContent = warning; // read out once, not at every look
  showCrop(v.crop, picture, whole || box);
  if (v.note !== v.note.getRootNode().activeElement) v.note.value = item.note || "";
  const where = box ? `, region ${EDGES.map((edge) => box[edge]).join(" ")}` : "";
  v.stage.setAttribute("aria-label", `${item.pic_name}, ${STATE_WORDS[now.state] || now.state}${where}`);
}

// Say whether what is on the screen is saved. owed: "saving", "refused" or "".
export function showSaved(v, now, owed, count) {
  const words = owed === "saving" ? "saving…" : now.from === "draft" ? "not saved" : now.from === "saved" ? "saved" : "";
  v.saved.textContent = words;
  v.saved.dataset.state = words;
  v.root.dataset.owed = String(count);
}
