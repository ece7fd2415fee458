import { sameBox } from "./geometry.mjs";
import { Outbox, Steps } from "./queue.mjs";

const ITEMS_KEPT = 3000; // told by Python and kept; those in work, and those that undo may come back to, are never forgotten

export function isOpen(item) {
  return item.state === "undone" || item.state === "stale";
}

// What is decided, by item: told by Python, drafted here, sent and not answered, and what undo brings back. It knows
// no screen. Python owns the truth: everything here is a proposal until it says "saved".
export class Decisions {
  // on: {post(message), remember(list), picture(id) → {w, h, digest} or null, session(), token(), changed(id)}
  constructor(on) {
    this.on = on;
    this.items = new Map(); // id → as Python told last
    this.drafts = new Map(); // id → {state, region, edited, rev}: changed here, not sent yet; rev: what it was made on
    this.marks = null; // {id, values}: a flag or note that waits for its region
    this.steps = new Steps();
    this.outbox = new Outbox(on.post, on.remember);
    this.last = null; // box of the last save, for "same as previous"
  }

  // Take what Python says of an item; false where something newer is known already.
  learn(item) {
    const known = this.items.get(item.id);
    if (known && item.rev < known.rev) return false; // overtaken on the way
    this.items.delete(item.id); // to the end: the oldest is forgotten first
    this.items.set(item.id, item);
    return true;
  }

  // Far-off items are told again when they come near: a day with 100,000 must not fill the memory.
  forget(inSight) {
    if (this.items.size <= ITEMS_KEPT) return;
    for (const id of [...this.items.keys()].slice(0, this.items.size - ITEMS_KEPT)) {
      if (!inSight.has(id) && !this.drafts.has(id) && !this.owed(id) && this.marks?.id !== id && !this.steps.has(id)) this.items.delete(id);
    }
  }

  owed(id) {
    return this.outbox.waiting.get(id) || this.outbox.flight.get(id) || null;
  }

  // What holds on screen for an item: a draft, what was sent, what Python said, or a suggestion.
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

  // Do something to an item as one step that can be undone.
  step(id, action) {
    const before = this.snapshot(id);
    action();
    this.steps.did({ id, before, after: this.snapshot(id) });
    this.on.changed(id);
  }

  // What somebody else saves meanwhile lies hidden under a draft: the draft keeps the revision that was seen.
  draft(id, draft) {
    const rev = this.drafts.get(id)?.rev ?? this.items.get(id)?.rev;
    this.step(id, () => this.drafts.set(id, { ...draft, rev }));
  }

  // Send what an item is to be. The message says all that Python needs to see that it is about this very image.
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

  // Save what is on the screen; false where there is nothing to save.
  save(id) {
    const now = this.effective(id);
    if (now.from === "none" || (now.state === "region" && !now.region)) return false;
    const what = now.from === "suggestion" ? { state: "region", region: now.region } : now;
    if (what.region) this.last = what.region;
    this.step(id, () => this.send(id, what));
    return true;
  }

  // Take back a decision, or drop a draft, or turn a suggestion down.
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

  accept(item) {
    this.step(item.id, () => {
      this.send(item.id, { state: "region", region: item.suggestion });
      this.items.set(item.id, { ...item, state: "region", region: item.suggestion });
    });
  }

  // Settle a merge's conflict: one of its sides holds from now on.
  settle(item, side) {
    this.step(item.id, () => {
      this.send(item.id, { state: side.state, region: side.region }, { type: "decide", revision: side.rev });
      this.items.set(item.id, { ...item, state: side.state, region: side.region, conflict: [] });
    });
  }

  // A flag or a note. Where a region is about to be saved, it goes with it: true then.
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

  // One step back ("undo") or forth ("redo"); returns the item's id, or null where there is none.
  travel(way) {
    const step = way === "undo" ? this.steps.undo() : this.steps.redo();
    if (!step || !this.items.has(step.id)) return null;
    const target = way === "undo" ? step.before : step.after;
    const now = this.snapshot(step.id).saved;
    if (now.state !== target.saved.state || !sameBox(now.region, target.saved.region)) this.send(step.id, target.saved);
    if (target.draft) this.drafts.set(step.id, { ...target.draft, rev: undefined });
    else this.drafts.delete(step.id);
    this.on.changed(step.id);
    return step.id;
  }

  // Python's answer to a save. Returns the message it answers where that was ours.
  answered(message) {
    const sent = this.outbox.answered(message);
    if (message.item) this.learn(message.item);
    const draft = this.drafts.get(message.id);
    if (sent && message.type === "saved" && draft?.rev === sent.rev) draft.rev = message.rev; // made while it was on its way
    if (sent && message.type === "refused") {
      // What was drawn is kept as a draft: nothing that a person made disappears.
      if (sent.type === "save") this.drafts.set(message.id, { state: sent.state, region: sent.region, edited: true });
      else if (message.item) this.items.set(message.id, message.item);
      this.outbox.forget(message.id);
    }
    return sent;
  }
}
