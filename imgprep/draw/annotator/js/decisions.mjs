import { sameBox } from "./geometry.mjs";

const ITEMS_KEPT = 3000; // items received from Python; those in progress or reachable by undo are never dropped

export function isOpen(item) {
  return item.state === "undone" || item.state === "stale";
}

// Decisions by item: received from Python, drafted here, or sent but not answered; and undo. Independent of the screen.
// Python owns the stored state: everything here is a proposal until Python answers "saved".
export class Decisions {
  // on: {post(message), remember(list), picture(id) → {w, h, digest} or null, session(), token(), changed(id)}
  constructor(on) {
    this.on = on;
    this.items = new Map(); // id → item as last received from Python
    this.drafts = new Map(); // id → {state, region, edited, rev}: changed here, not sent yet; rev: the revision it is based on
    this.marks = null; // {id, values}: a flag or note to be saved with its region
    this.history = new History();
    this.outbox = new Outbox(on.post, on.remember);
    this.last = null; // box of the last save, for "same as previous"
  }

  // Store an item from Python; false if a newer one is already known.
  learn(item) {
    const known = this.items.get(item.id);
    if (known && item.rev < known.rev) return false; // overtaken by a newer message
    this.items.delete(item.id); // move to the end: the oldest items are dropped first
    this.items.set(item.id, item);
    return true;
  }

  // Drop distant items, which are requested again when needed: 100,000 items must not fill the memory.
  dropDistant(inSight) {
    if (this.items.size <= ITEMS_KEPT) return;
    for (const id of [...this.items.keys()].slice(0, this.items.size - ITEMS_KEPT)) {
      if (!inSight.has(id) && !this.drafts.has(id) && !this.owed(id) && this.marks?.id !== id && !this.history.has(id)) this.items.delete(id);
    }
  }

  owed(id) {
    return this.outbox.waiting.get(id) || this.outbox.flight.get(id) || null;
  }

  // What the screen shows for an item: a draft, an unanswered save, the saved decision, or a suggestion.
  effective(id) {
    const draft = this.drafts.get(id);
    if (draft) return { ...draft, from: "draft" };
    const owed = this.owed(id);
    if (owed) return { state: owed.state, region: owed.region, from: "sent" };
    const item = this.items.get(id);
    if (!item) return { state: "undone", region: null, from: "none" };
    if (isOpen(item)) return { state: item.state, region: item.suggestion, from: item.suggestion ? "suggestion" : "none" };
    return { state: item.state, region: item.region, from: "saved" };
  }

  snapshot(id) {
    const item = this.items.get(id) || {};
    const saved = this.owed(id) || { state: item.state === "stale" ? "undone" : item.state, region: item.region };
    return { draft: this.drafts.get(id) || null, saved: { state: saved.state, region: saved.region || null } };
  }

  // Change an item in one undoable step.
  step(id, action) {
    const before = this.snapshot(id);
    action();
    this.history.add({ id, before, after: this.snapshot(id) });
    this.on.changed(id);
  }

  // A draft keeps the revision it is based on, because it hides what another person saves in the meantime.
  draft(id, draft) {
    const rev = this.drafts.get(id)?.rev ?? this.items.get(id)?.rev;
    this.step(id, () => this.drafts.set(id, { ...draft, rev }));
  }

  // Send a decision with everything that Python needs to verify the image.
  send(id, what, extra = {}) {
    const item = this.items.get(id);
    const picture = this.on.picture(id);
    this.outbox.put({
      type: "save", key: this.on.token(), id, pic_name: item.pic_name, product_id: item.product_id, rev: what.rev ?? item.rev, session: this.on.session(),
      size: picture?.w ? [picture.w, picture.h] : item.size || null, digest: picture?.digest || item.digest || null,
      state: what.state, region: what.region || null, edited: Boolean(what.edited),
      ...(this.marks?.id === id ? this.marks.values : {}), ...extra,
    });
    if (this.marks?.id === id) this.marks = null;
    this.drafts.delete(id);
    this.on.changed(id);
  }

  // Save what the screen shows; false if there is nothing to save.
  save(id) {
    const now = this.effective(id);
    if (now.from === "none" || (now.state === "region" && !now.region)) return false;
    const what = now.from === "suggestion" ? { state: "region", region: now.region } : now;
    if (what.region) this.last = what.region;
    this.step(id, () => this.send(id, what));
    return true;
  }

  // Withdraw a decision, drop a draft, or reject a suggestion.
  remove(id) {
    const item = this.items.get(id);
    if (!item) return;
    if (!isOpen(item) || this.outbox.state(id)) this.step(id, () => this.send(id, { state: "undone", region: null }));
    else if (this.drafts.has(id)) this.drop(id);
    else if (item.suggestion) this.step(id, () => this.items.set(id, { ...item, suggestion: null }));
  }

  drop(id) {
    if (this.drafts.has(id)) this.step(id, () => this.drafts.delete(id));
  }

  // Accept the suggestion, or the service's box.
  accept(item, region = item.suggestion, extra = {}) {
    this.step(item.id, () => {
      this.send(item.id, { state: "region", region }, extra);
      this.items.set(item.id, { ...item, state: "region", region });
    });
  }

  // Settle a merge conflict by choosing one of its sides.
  settle(item, side) {
    this.step(item.id, () => {
      this.send(item.id, { state: side.state, region: side.region }, { type: "decide", revision: side.rev });
      this.items.set(item.id, { ...item, state: side.state, region: side.region, conflict: [] });
    });
  }

  // Set a flag or a note; true if it waits for a draft, to be saved together with it.
  mark(id, values) {
    const item = this.items.get(id);
    if (item.state !== "stale" && !this.drafts.has(id)) {
      this.send(id, this.snapshot(id).saved, values);
      return false;
    }
    this.marks = { id, values: { ...(this.marks?.id === id ? this.marks.values : {}), ...values } };
    this.items.set(id, { ...item, ...values });
    this.on.changed(id);
    return true;
  }

  // Go one step back ("undo") or forward ("redo"); returns the item's id, or null if there is no step.
  travel(way) {
    const step = way === "undo" ? this.history.undo() : this.history.redo();
    if (!step || !this.items.has(step.id)) return null;
    const target = way === "undo" ? step.before : step.after;
    const now = this.snapshot(step.id).saved;
    if (now.state !== target.saved.state || !sameBox(now.region, target.saved.region)) this.send(step.id, target.saved);
    if (target.draft) this.drafts.set(step.id, { ...target.draft, rev: undefined });
    else this.drafts.delete(step.id);
    this.on.changed(step.id);
    return step.id;
  }

  // Handle Python's answer to a save. Returns the message that it answers, if that was sent from here.
  answered(message) {
    const sent = this.outbox.answered(message);
    if (message.item) this.learn(message.item);
    const draft = this.drafts.get(message.id);
    if (sent && message.type === "saved" && draft?.rev === sent.rev) draft.rev = message.rev; // drafted while this save was in flight
    if (sent && message.type === "refused") {
      // Keep the refused box as a draft, so that nothing a person drew disappears.
      if (sent.type === "save") this.drafts.set(message.id, { state: sent.state, region: sent.region, edited: true });
      else if (message.item) this.items.set(message.id, message.item);
      this.outbox.forget(message.id);
    }
    return sent;
  }
}

// Unconfirmed saves: one in flight per item, the newest one waiting behind it.
export class Outbox {
  // send(message) sends; remember(list) keeps unanswered saves across reloads.
  constructor(send, remember = () => {}) {
    this.send = send;
    this.remember = remember;
    this.flight = new Map(); // item id → message in flight
    this.waiting = new Map(); // item id → message to send next
    this.refused = new Map(); // item id → {message, why}
  }

  put(message) {
    this.refused.delete(message.id);
    if (this.flight.has(message.id)) this.waiting.set(message.id, message);
    else this.launch(message);
    this.keep();
  }

  launch(message) {
    this.flight.set(message.id, message);
    this.send(message);
  }

  // answer: {type: "saved" | "refused", key, id, rev, why}. Returns the message that it answers, or null.
  answered(answer) {
    const sent = this.flight.get(answer.id);
    if (!sent || sent.key !== answer.key) return null;
    this.flight.delete(answer.id);
    const next = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.type === "saved") {
      if (next) this.launch({ ...next, rev: answer.rev });
    } else {
      this.refused.set(answer.id, { message: next || sent, why: answer.why });
    }
    this.keep();
    return sent;
  }

  forget(id) {
    this.refused.delete(id);
    this.keep();
  }

  keep() {
    this.remember(this.all());
  }

  // Everything that Python has not confirmed, the newest per item.
  all() {
    const owed = new Map(this.flight);
    for (const [id, message] of this.waiting) owed.set(id, message);
    for (const [id, { message }] of this.refused) owed.set(id, message);
    return [...owed.values()];
  }

  state(id) {
    if (this.refused.has(id)) return "refused";
    return this.flight.has(id) ? "saving" : "";
  }

  get busy() {
    return this.flight.size;
  }
}

// Undo and redo across images: each step stores an item before and after the change.
export class History {
  constructor(limit = 500) {
    this.past = [];
    this.future = [];
    this.limit = limit;
  }

  add(step) {
    this.past.push(step);
    if (this.past.length > this.limit) this.past.shift();
    this.future = [];
  }

  // Whether undo or redo may return to an item.
  has(id) {
    return this.past.some((step) => step.id === id) || this.future.some((step) => step.id === id);
  }

  undo() {
    const step = this.past.pop();
    if (step) this.future.push(step);
    return step || null;
  }

  redo() {
    const step = this.future.pop();
    if (step) this.past.push(step);
    return step || null;
  }
}
