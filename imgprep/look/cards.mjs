// Captioned thumbnails. Python sends one page at a time and owns the state: a click or a tick is a proposal that Python
// may refuse. Strings are untrusted and are only ever set as text.

/** Return the card that a key moves to from card number `at` of `count`, or null for keys not handled here. */
export function step(key, at, count, across) {
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[key];
  if (by === undefined || count === 0) return null;
  return Math.min(count - 1, Math.max(0, at + by));
}

/** Return the ticks after one is set or cleared. */
export function toggled(ticked, id, on) {
  const rest = ticked.filter((each) => each !== id);
  return on ? [...rest, id] : rest;
}

/** Return `uri` if it is a JPEG data URI made by Python, else null: nothing else may be shown. */
export function safeSource(uri) {
  return typeof uri === "string" && uri.startsWith("data:image/jpeg;base64,") ? uri : null;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawCard(card, withTick, texts) {
  const root = element("div", "ipc-card");
  root.dataset.id = card.id;
  if (card.severity) root.dataset.severity = card.severity;
  const view = element("button", "ipc-view");
  view.type = "button";
  view.title = card.name;
  view.setAttribute("aria-label", texts.view.replace("{name}", () => card.name || card.title));
  const source = safeSource(card.uri);
  if (source) {
    const image = element("img", "");
    image.src = source;
    image.alt = "";
    view.append(image);
  } else {
    view.append(element("span", "ipc-none", card.why || texts.none));
  }
  const text = element("div", "ipc-text");
  text.dir = "auto";
  const head = element("label", "ipc-title");
  if (withTick) {
    const tick = element("input", "ipc-tick");
    tick.type = "checkbox";
    head.append(tick);
  }
  head.append(element("bdi", "", card.title || card.name));
  text.append(head);
  if (card.title && card.name) text.append(element("bdi", "ipc-name", card.name));
  if (card.note) text.append(element("bdi", "ipc-note", card.note));
  root.append(view, text);
  return root;
}

function render({ model, el }) {
  const root = element("div", "ipc-cards");
  root.dataset.lmSuppressShortcuts = "true";
  root.style.setProperty("--ipc-side", `${model.get("side")}px`);

  function draw() {
    const cards = model.get("cards");
    const texts = { none: model.get("none"), view: model.get("view") };
    root.replaceChildren(...cards.map((card) => drawCard(card, model.get("ticks"), texts)));
    if (!cards.length) root.append(element("div", "ipc-empty", model.get("empty")));
    mark();
  }
  function mark() {
    const [opened, ticked] = [model.get("opened"), model.get("ticked")];
    for (const card of root.querySelectorAll(".ipc-card")) {
      const id = Number(card.dataset.id);
      card.classList.toggle("ipc-opened", id === opened);
      const tick = card.querySelector(".ipc-tick");
      if (tick) tick.checked = ticked.includes(id);
    }
  }
  function send(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  function clicked(event) {
    const card = event.target.closest(".ipc-card");
    if (card && event.target.closest(".ipc-view")) send("opened", Number(card.dataset.id));
  }
  function changed(event) {
    const card = event.target.closest(".ipc-card");
    if (card && event.target.matches(".ipc-tick"))
      send("ticked", toggled(model.get("ticked"), Number(card.dataset.id), event.target.checked));
  }
  function pressed(event) {
    const cards = [...root.querySelectorAll(".ipc-card")];
    const at = cards.indexOf(event.target.closest(".ipc-card"));
    if (at < 0) return;
    const across = cards.filter((card) => card.offsetTop === cards[0].offsetTop).length;
    const next = step(event.key, at, cards.length, across);
    if (next === null) return;
    event.preventDefault();
    event.stopPropagation();
    cards[next].querySelector(".ipc-view").focus();
    send("opened", Number(cards[next].dataset.id));
  }
  root.addEventListener("click", clicked);
  root.addEventListener("change", changed);
  root.addEventListener("keydown", pressed);
  model.on("change:cards", draw);
  model.on("change:opened", mark);
  model.on("change:ticked", mark);
  el.append(root);
  draw();
  return () => {
    model.off("change:cards", draw);
    model.off("change:opened", mark);
    model.off("change:ticked", mark);
    root.remove();
  };
}

export default { render };
