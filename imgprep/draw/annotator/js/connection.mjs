const LATE_MS = 6000; // an answer that takes longer triggers a warning
const HELLO_MS = [300, 700, 1500, 3000, 6000]; // pauses before each repeated hello

export function token() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The connection to Python. It adds the session to messages, drops messages from other widgets, and keeps unconfirmed
// saves in the browser's storage, where they survive a reload and a kernel restart.
export class Connection {
  // on: {received(message, buffers), welcome(message), lost(error), late(id, key), resent(list)}
  constructor(model, on) {
    this.model = model;
    this.on = on;
    this.view = token();
    this.session = null;
    this.store = null; // id of the region store; names the entry in the browser's storage
    this.unconfirmed = []; // saves from this display
    this.replayed = new Map(); // key → older message that was resent and is not answered yet
    this.closed = false;
    this.listener = (message, buffers) => this.receive(message, buffers || []);
    model.on("msg:custom", this.listener);
  }

  send(content) {
    try {
      this.model.send({ view: this.view, session: this.session, ...content });
    } catch (error) {
      this.on.lost(error);
    }
  }

  // Repeat hello until Python answers: the first may wait behind a busy cell if the widget has no thread yet.
  hello(times = 0) {
    if (this.closed || this.session) return;
    this.send({ type: "hello" });
    if (times < HELLO_MS.length) this.timer = setTimeout(() => this.hello(times + 1), HELLO_MS[times]);
  }

  // Send a save, and report it if there is no answer.
  post(message) {
    this.send(message);
    setTimeout(() => {
      if (!this.closed) this.on.late(message.id, message.key);
    }, LATE_MS);
  }

  receive(message, buffers) {
    if (this.closed || !message) return;
    const mine = message.view === this.view;
    if (message.type === "welcome") {
      if (!mine) return;
      clearTimeout(this.timer);
      this.session = message.session;
      this.store = message.store;
      this.on.welcome(message);
      this.replay();
      return;
    }
    if (this.session && message.session !== this.session) return; // from a widget that no longer exists
    // Saves and items are for all displays; every other message is for one display.
    if (mine || ["items", "saved", "refused"].includes(message.type)) this.on.received(message, buffers);
  }

  remember(list) {
    this.unconfirmed = list;
    if (!this.store) return;
    const name = `imgprep:${this.store}:${this.view}`;
    const all = [...this.replayed.values(), ...list];
    try {
      if (all.length) localStorage.setItem(name, JSON.stringify(all));
      else localStorage.removeItem(name);
    } catch {
      // Private windows may have no storage; the alarm still lists unsaved decisions.
    }
  }

  replay() {
    const found = [];
    try {
      for (const name of Object.keys(localStorage)) {
        if (!name.startsWith(`imgprep:${this.store}:`) || name.endsWith(this.view)) continue;
        found.push(...JSON.parse(localStorage.getItem(name)));
        localStorage.removeItem(name);
      }
    } catch {
      return;
    }
    for (const message of found) this.replayed.set(message.key, message);
    this.remember(this.unconfirmed); // from now on, this display stores them
    for (const message of found) this.send({ ...message, view: this.view });
    if (found.length) this.on.resent(found);
  }

  // Return the older message that an answer is about, once only.
  answeredOld(key) {
    const old = this.replayed.get(key);
    if (this.replayed.delete(key)) this.remember(this.unconfirmed);
    return old || null;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.listener);
  }
}
