import { HELP } from "./input.mjs";

// Make an element. Text is inserted as text, never as markup, because product data is not trusted.
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const STATE_WORDS = { undone: "not done", region: "region", whole: "whole image", service: "left to the service", stale: "stale: drawn on another file" };
const FILTER_WORDS = { all: "all images", undone: "not done", done: "done", flagged: "flagged", suggested: "with suggestion", stale: "stale", failed: "failed in the last run", findings: "with findings", conflict: "in conflict after a merge" };
const EMPTY_WORDS = { all: "There are no images in this queue.", undone: "Every image has a decision." };
const ORDER_WORDS = { given: "catalogue order", product: "by product", confidence: "least certain first", findings: "most findings first", disagreement: "least like the service's box first" };

// Accessible names for buttons that show only a symbol, and for keys shown as symbols.
const ICON_WORDS = { zoomOut: "Zoom out", zoomIn: "Zoom in", fit: "Fit the image", actual: "One image pixel per screen pixel", twoClick: "Two clicks instead of a drag", help: "List of keys" };
export const SHORTCUTS = { "⏎": "Enter", Del: "Delete", Esc: "Escape", PgUp: "PageUp", PgDn: "PageDown" };

// Build the widget's elements; act(name, value) is called for each action.
export function buildView(act) {
  const button = (name, label, key, title, kind = "") =>
    el("button", { type: "button", class: `ipr-button ${kind}`, title, "aria-label": ICON_WORDS[name] || label, "aria-keyshortcuts": SHORTCUTS[key] || key || null, "data-act": name, onclick: () => act(name) },
      el("span", {}, label), key ? el("kbd", {}, key) : null);
  const number = (edge, label) =>
    el("label", { class: "ipr-number" }, el("span", {}, label),
      el("input", { type: "number", step: 1, min: 0, "data-edge": edge, "aria-label": `${label} in pixels`, onchange: (event) => act("number", { edge, value: event.target.value }) }));
  const select = (name, label) => el("select", { class: "ipr-select", "aria-label": label, onchange: (event) => act(name, event.target.value) });

  const v = {};
  v.place = el("span", { class: "ipr-place" });
  v.done = el("span", { class: "ipr-done" }, "…");
  v.meter = el("div", { class: "ipr-meter-fill" });
  v.show = select("show", "Filter");
  v.order = select("order", "Order");
  v.find = el("input", { type: "search", class: "ipr-find", placeholder: "Product or image  /", "aria-label": "Jump to a product or image" });
  v.bar = el("div", { class: "ipr-bar" }, v.place,
    el("div", { class: "ipr-progress", title: "done and left in the whole queue" }, el("div", { class: "ipr-meter", role: "presentation" }, v.meter), v.done),
    el("span", { class: "ipr-grow" }), v.find, v.show, v.order,
    button("grid", "Grid", "G", "A page of suggestions to accept or reject"),
    button("help", "Keys", "?", "What the keys do"));

  v.stage = el("div", { class: "ipr-stage", role: "img", "aria-label": "image" });
  v.message = el("div", { class: "ipr-message", hidden: true });
  v.zoom = el("div", { class: "ipr-zoom" },
    button("zoomOut", "−", "", "Zoom out (−)", "ipr-icon"), button("zoomIn", "+", "", "Zoom in (+)", "ipr-icon"),
    button("fit", "Fit", "", "Fit the image (0)", "ipr-icon"), button("actual", "1:1", "", "One image pixel per screen pixel (1)", "ipr-icon"),
    button("twoClick", "2-click", "", "Two clicks instead of a drag (T)", "ipr-icon"));
  v.badge = el("div", { class: "ipr-badge", hidden: true, "aria-hidden": "true" });
  v.frame = el("div", { class: "ipr-frame" }, v.stage, v.message, v.badge);
  v.picture = el("div", { class: "ipr-picture" }, v.frame, v.zoom);

  v.name = el("div", { class: "ipr-name" });
  v.chip = el("span", { class: "ipr-chip" });
  v.flagMark = el("span", { class: "ipr-chip ipr-flagged", hidden: true }, "flagged");
  v.failedMark = el("span", { class: "ipr-chip ipr-flagged", hidden: true }, "failed in the last run");
  v.saved = el("span", { class: "ipr-saved" });
  v.numbers = { x1: number("x1", "left"), y1: number("y1", "top"), x2: number("x2", "right"), y2: number("y2", "bottom") };
  v.measure = el("div", { class: "ipr-measure" });
  v.warn = el("div", { class: "ipr-warn", role: "status" });
  v.crop = el("canvas", { class: "ipr-crop", role: "img", "aria-label": "content of the region" });
  v.note = el("input", { type: "text", class: "ipr-note", placeholder: "Note  N", "aria-label": "Note on this image", maxlength: 2000, onchange: (event) => act("noted", event.target.value) });
  v.text = el("div", { class: "ipr-text", role: "region", tabindex: 0, "aria-label": "Product text" });
  v.side = el("div", { class: "ipr-side" },
    el("div", {}, v.name, el("div", { class: "ipr-chips" }, v.chip, v.flagMark, v.failedMark, v.saved)),
    el("div", { class: "ipr-actions" },
      button("save", "Save, next", "⏎", "Save (or accept the suggestion) and continue", "ipr-main-button"),
      button("whole", "Whole image", "W", "The whole image is the subject: Crop false"),
      button("service", "To service", "V", "Leave it to the service's own recognition"),
      button("same", "Same box", "=", "The box of the previous image"),
      button("remove", "Remove", "Del", "Remove the box or the decision"),
      button("flag", "Flag", "F", "Flag for a second look"),
      button("skip", "Skip", "S", "Continue without saving")),
    el("fieldset", { class: "ipr-numbers" }, el("legend", {}, "Region, pixels"), ...Object.values(v.numbers)),
    v.measure, v.warn, v.crop, v.note);

  v.strip = el("div", { class: "ipr-strip", role: "listbox", "aria-label": "Images before and after" });
  v.status = el("div", { class: "ipr-status", role: "status", "aria-live": "polite" });
  v.spoken = el("div", { class: "ipr-spoken", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  v.alarm = el("div", { class: "ipr-alarm", role: "alert", hidden: true });
  v.grid = el("div", { class: "ipr-grid", hidden: true });
  v.help = el("div", { class: "ipr-help", role: "dialog", "aria-modal": "true", "aria-label": "Keys", hidden: true },
    el("div", { class: "ipr-help-card" }, el("strong", {}, "Keys"),
      el("dl", {}, ...HELP.flatMap(([keys, what]) => [el("dt", {}, keys), el("dd", {}, what)])),
      button("help", "Close", "Esc", "Close this list")));
  v.work = el("div", { class: "ipr-work" }, v.picture, v.side, v.text);
  v.emptyText = el("p", {});
  v.showAll = button("showAll", "Show all images", "", "Remove the filter");
  v.empty = el("div", { class: "ipr-empty", role: "status", hidden: true }, v.emptyText, v.showAll);
  v.root = el("div", { class: "ipr", tabindex: 0, role: "application", "aria-label": "Region annotator. Press question mark for the keys." },
    v.bar, v.alarm, v.empty, v.work, v.grid, v.strip, v.status, v.spoken, v.help);
  v.twoClick = v.zoom.querySelector('[data-act="twoClick"]');
  v.twoClick.setAttribute("aria-pressed", "false");
  v.flag = v.side.querySelector('[data-act="flag"]');
  return v;
}

// Show that a filter matches no image; null: there is one.
export function showEmpty(v, filter) {
  v.empty.hidden = filter === null;
  v.showAll.hidden = filter === "all";
  if (filter !== null) v.emptyText.textContent = EMPTY_WORDS[filter] || "No images match this filter.";
}

export function fillSelects(v, welcome) {
  const options = (select, names, words) => select.replaceChildren(...names.map((name) => el("option", { value: name }, words[name] || name)));
  options(v.show, welcome.filters, FILTER_WORDS);
  options(v.order, welcome.orders, ORDER_WORDS);
}

// The time that the rest takes at the present pace.
export function timeLeft({ left, per_hour: pace }) {
  if (!pace || !left) return "";
  const minutes = Math.max(1, Math.round((60 * left) / pace));
  const text = minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return ` · ${pace.toLocaleString("en")} per hour · about ${text} to go`;
}

export function showCounts(v, counts, at, count) {
  v.done.textContent = `${counts.done.toLocaleString("en")} done · ${counts.left.toLocaleString("en")} left${timeLeft(counts)}`;
  v.meter.style.width = `${counts.total ? (100 * counts.done) / counts.total : 0}%`;
  v.place.textContent = count ? `${(at + 1).toLocaleString("en")} of ${count.toLocaleString("en")}` : "0 of 0";
}

export function showText(v, text) {
  v.text.replaceChildren(...(text || []).map((pairs) =>
    el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))));
}

export function showCrop(canvas, picture, box) {
  const dpr = window.devicePixelRatio || 1;
  const wide = canvas.clientWidth || 220;
  const high = canvas.clientHeight || 130;
  const drawn = [picture?.id, picture?.digest, box && [box.x1, box.y1, box.x2, box.y2], wide, high, dpr].join();
  if (canvas.dataset.drawn === drawn) return;
  canvas.dataset.drawn = drawn;
  canvas.width = Math.round(wide * dpr);
  canvas.height = Math.round(high * dpr);
  if (!picture || !picture.bitmap || !box) return;
  const context = canvas.getContext("2d");
  const kx = picture.pw / picture.w;
  const ky = picture.ph / picture.h;
  const w = box.x2 - box.x1;
  const h = box.y2 - box.y1;
  const scale = Math.min(canvas.width / w, canvas.height / h);
  context.drawImage(picture.bitmap, box.x1 * kx, box.y1 * ky, w * kx, h * ky, (canvas.width - w * scale) / 2, (canvas.height - h * scale) / 2, w * scale, h * scale);
}
