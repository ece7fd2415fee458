// Which key does what. Keys that are not handled here, and Tab, F5, Ctrl+S and the like, go their way.

export const HELP = [
  ["Enter", "save (or accept the suggestion) and go on"],
  ["Shift+Enter", "back to the one before"],
  ["S, Page Down · Page Up", "skip · back, without saving"],
  ["drag · handles · inside", "draw a box · pull an edge · move it"],
  ["T", "two clicks instead of a drag"],
  ["arrows · with Shift", "move the box (or the chosen edge) 1 px · 10 px"],
  ["E", "choose an edge for the arrows; again: the next one"],
  ["W", "whole image is the subject (Crop: false)"],
  ["V", "leave it to the service"],
  ["Delete", "remove the box, or undo a decision"],
  ["=", "same box as on the image before"],
  ["Ctrl+Z · Ctrl+Shift+Z", "undo · redo, over images too"],
  ["F · N", "flag for a second look · write a note"],
  ["wheel · + −", "zoom to the pointer"],
  ["Space and drag, middle button", "pan"],
  ["0 · 1", "fit · one image pixel per screen pixel"],
  ["G", "grid: accept suggestions, settle conflicts"],
  ["/", "jump to a product or image"],
  ["Esc", "drop what is not saved; leave a field"],
  ["?", "this list"],
];

const PLAIN = {
  Enter: "save", PageDown: "skip", PageUp: "back", Delete: "remove", Backspace: "remove", Escape: "escape",
  "+": "zoomIn", "-": "zoomOut", "0": "fit", "1": "actual", "/": "find", "?": "help", "=": "same",
  s: "skip", t: "twoClick", e: "edge", w: "whole", v: "service", f: "flag", n: "note", g: "grid", " ": "panning",
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// event: {key, ctrlKey, metaKey, altKey, shiftKey, isComposing, keyCode, repeat} → {action, …} or null.
export function actionOf(event) {
  if (event.isComposing || event.keyCode === 229) return null; // an input method is at work: Enter is its own
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (control && !event.altKey) {
    if (key === "z") return { action: event.shiftKey ? "redo" : "undo" };
    if (key === "y") return { action: "redo" };
    if (key === "Enter") return { action: "none" }; // would run the cell, and this widget would be gone
    return null;
  }
  if (event.altKey) return null;
  if (ARROWS[key]) {
    const step = event.shiftKey ? 10 : 1;
    return { action: "nudge", dx: ARROWS[key][0] * step, dy: ARROWS[key][1] * step };
  }
  // A key held down must not run through the queue.
  if (key === "Enter") return { action: event.repeat ? "none" : event.shiftKey ? "back" : "save" };
  const action = PLAIN[key];
  return action ? { action, repeat: Boolean(event.repeat) } : null;
}

// Whether the notebook may see a key pressed inside the widget. Single letters would insert or delete cells there.
export function belongsToPage(event) {
  if (event.key === "Tab" || /^F\d+$/.test(event.key)) return true;
  return Boolean(event.ctrlKey || event.metaKey || event.altKey) && event.key !== "Enter";
}
