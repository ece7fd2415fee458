import { keyList } from "./input.mjs";
import { t } from "./language.mjs";

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

export function stateWord(state) {
  return { undone: t("not done"), region: t("region"), whole: t("whole image"), service: t("left to the service"), stale: t("stale: drawn on another file") }[state] || state;
}

const filterWords = () => ({ all: t("all images"), undone: t("not done"), done: t("done"), flagged: t("flagged"), suggested: t("with suggestion"), stale: t("stale"), failed: t("failed in the last run"), findings: t("with findings"), conflict: t("in conflict after a merge") });
const emptyWords = () => ({ all: t("There are no images in this queue."), undone: t("Every image has a decision.") });
const orderWords = () => ({ given: t("catalogue order"), product: t("by product"), confidence: t("least certain first"), findings: t("most findings first"), disagreement: t("least like the service's box first") });

// Accessible names for buttons that show only a symbol, and for keys shown as symbols.
const iconWords = () => ({ zoomOut: t("Zoom out"), zoomIn: t("Zoom in"), fit: t("Fit the image"), actual: t("One image pixel per screen pixel"), twoClick: t("Two clicks instead of a drag"), help: t("List of keys") });
export const SHORTCUTS = { "⏎": "Enter", Del: "Delete", Esc: "Escape", PgUp: "PageUp", PgDn: "PageDown" };

// Build the widget's elements; act(name, value) is called for each action.
export function buildView(act) {
  const icons = iconWords();
  const button = (name, label, key, title, kind = "") =>
    el("button", { type: "button", class: `ipr-button ${kind}`, title, "aria-label": icons[name] || label, "aria-keyshortcuts": SHORTCUTS[key] || key || null, "data-act": name, onclick: () => act(name) },
      el("span", {}, label), key ? el("kbd", {}, key) : null);
  const number = (edge, label) =>
    el("label", { class: "ipr-number" }, el("span", {}, label),
      el("input", { type: "number", step: 1, min: 0, "data-edge": edge, "aria-label": t("{edge} in pixels", { edge: label }), onchange: (event) => act("number", { edge, value: event.target.value }) }));
  const select = (name, label) => el("select", { class: "ipr-select", "aria-label": label, onchange: (event) => act(name, event.target.value) });

  const v = {};
  v.place = el("span", { class: "ipr-place" });
  v.done = el("span", { class: "ipr-done" }, "…");
  v.meter = el("div", { class: "ipr-meter-fill" });
  v.show = select("show", t("Filter"));
  v.order = select("order", t("Order"));
  v.find = el("input", { type: "search", class: "ipr-find", placeholder: t("Product or image  /"), "aria-label": t("Jump to a product or image") });
  v.bar = el("div", { class: "ipr-bar" }, v.place,
    el("div", { class: "ipr-progress", title: t("done and left in the whole queue") }, el("div", { class: "ipr-meter", role: "presentation" }, v.meter), v.done),
    el("span", { class: "ipr-grow" }), v.find, v.show, v.order,
    button("grid", t("Grid"), "G", t("A page of suggestions to accept or reject")),
    button("help", t("Keys"), "?", t("What the keys do")));

  v.stage = el("div", { class: "ipr-stage", role: "img", "aria-label": t("image") });
  v.message = el("div", { class: "ipr-message", hidden: true });
  v.zoom = el("div", { class: "ipr-zoom" },
    button("zoomOut", "−", "", t("Zoom out (−)"), "ipr-icon"), button("zoomIn", "+", "", t("Zoom in (+)"), "ipr-icon"),
    button("fit", t("Fit"), "", t("Fit the image (0)"), "ipr-icon"), button("actual", "1:1", "", t("One image pixel per screen pixel (1)"), "ipr-icon"),
    button("twoClick", t("2-click"), "", t("Two clicks instead of a drag (T)"), "ipr-icon"));
  v.badge = el("div", { class: "ipr-badge", hidden: true, "aria-hidden": "true" });
  v.frame = el("div", { class: "ipr-frame" }, v.stage, v.message, v.badge);
  v.picture = el("div", { class: "ipr-picture" }, v.frame, v.zoom);

  v.name = el("div", { class: "ipr-name" });
  v.chip = el("span", { class: "ipr-chip" });
  v.flagMark = el("span", { class: "ipr-chip ipr-flagged", hidden: true }, t("flagged"));
  v.failedMark = el("span", { class: "ipr-chip ipr-flagged", hidden: true }, t("failed in the last run"));
  v.saved = el("span", { class: "ipr-saved" });
  v.numbers = { x1: number("x1", t("left")), y1: number("y1", t("top")), x2: number("x2", t("right")), y2: number("y2", t("bottom")) };
  v.measure = el("div", { class: "ipr-measure" });
  v.warn = el("div", { class: "ipr-warn", role: "status" });
  v.crop = el("canvas", { class: "ipr-crop", role: "img", "aria-label": t("content of the region") });
  v.note = el("input", { type: "text", class: "ipr-note", placeholder: t("Note  N"), "aria-label": t("Note on this image"), maxlength: 2000, onchange: (event) => act("noted", event.target.value) });
  v.text = el("div", { class: "ipr-text", role: "region", tabindex: 0, "aria-label": t("Product text") });
  v.side = el("div", { class: "ipr-side" },
    el("div", {}, v.name, el("div", { class: "ipr-chips" }, v.chip, v.flagMark, v.failedMark, v.saved)),
    el("div", { class: "ipr-actions" },
      button("save", t("Save, next"), "⏎", t("Save (or accept the suggestion) and continue"), "ipr-main-button"),
      button("whole", t("Whole image"), "W", t("The whole image is the subject: Crop false")),
      button("service", t("To service"), "V", t("Leave it to the service's own recognition")),
      button("same", t("Same box"), "=", t("The box of the previous image")),
      button("remove", t("Remove"), "Del", t("Remove the box or the decision")),
      button("flag", t("Flag"), "F", t("Flag for a second look")),
      button("skip", t("Skip"), "S", t("Continue without saving"))),
    el("fieldset", { class: "ipr-numbers" }, el("legend", {}, t("Region, pixels")), ...Object.values(v.numbers)),
    v.measure, v.warn, v.crop, v.note);

  v.strip = el("div", { class: "ipr-strip", role: "listbox", "aria-label": t("Images before and after") });
  v.status = el("div", { class: "ipr-status", role: "status", "aria-live": "polite" });
  v.spoken = el("div", { class: "ipr-spoken", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  v.alarm = el("div", { class: "ipr-alarm", role: "alert", hidden: true });
  v.grid = el("div", { class: "ipr-grid", hidden: true });
  v.help = el("div", { class: "ipr-help", role: "dialog", "aria-modal": "true", "aria-label": t("Keys"), hidden: true },
    el("div", { class: "ipr-help-card" }, el("strong", {}, t("Keys")),
      el("dl", {}, ...keyList().flatMap(([keys, what]) => [el("dt", {}, keys), el("dd", {}, what)])),
      button("help", t("Close"), "Esc", t("Close this list"))));
  v.work = el("div", { class: "ipr-work" }, v.picture, v.side, v.text);
  v.emptyText = el("p", {});
  v.showAll = button("showAll", t("Show all images"), "", t("Remove the filter"));
  v.empty = el("div", { class: "ipr-empty", role: "status", hidden: true }, v.emptyText, v.showAll);
  v.root = el("div", { class: "ipr", tabindex: 0, role: "application", "aria-label": t("Region annotator. Press question mark for the keys.") },
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
  if (filter !== null) v.emptyText.textContent = emptyWords()[filter] || t("No images match this filter.");
}

export function fillSelects(v, welcome) {
  const options = (select, names, words) => select.replaceChildren(...names.map((name) => el("option", { value: name }, words[name] || name)));
  options(v.show, welcome.filters, filterWords());
  options(v.order, welcome.orders, orderWords());
}

// The time that the rest takes at the present pace.
export function timeLeft({ left, per_hour: pace }) {
  if (!pace || !left) return "";
  const minutes = Math.max(1, Math.round((60 * left) / pace));
  const text = minutes < 60 ? t("{minutes} min", { minutes }) : t("{hours} h {minutes} min", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  return t(" · {pace} per hour · about {time} to go", { pace: pace.toLocaleString("en"), time: text });
}

export function showCounts(v, counts, at, count) {
  v.done.textContent = t("{done} done · {left} left", { done: counts.done.toLocaleString("en"), left: counts.left.toLocaleString("en") }) + timeLeft(counts);
  v.meter.style.width = `${counts.total ? (100 * counts.done) / counts.total : 0}%`;
  v.place.textContent = t("{at} of {count}", { at: (count ? at + 1 : 0).toLocaleString("en"), count: count.toLocaleString("en") });
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
