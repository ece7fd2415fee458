// What the browser still owes Python: one save in flight per item, the newest one waiting behind it.

export class Outbox {
  // send(message) puts a message on the wire; remember(list) keeps what is not answered yet across reloads.
  constructor(send, remember = () => {}) {
    this.send = send;
    this.remember = remember;
    this.flight = new Map(); // item id → message on its way
    this.waiting = new Map(); // item id → message to send after it
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

  // An answer: {type: "saved" | "refused", key, id, rev, why}. Returns the message it answers, or null if not ours.
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

// Undo and redo over images: each step says what an item was and what it became.
export class Steps {
  constructor(limit = 500) {
    this.past = [];
    this.future = [];
    this.limit = limit;
  }

  did(step) {
    this.past.push(step);
    if (this.past.length > this.limit) this.past.shift();
    this.future = [];
  }

  // Whether undo or redo may come back to an item.
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

// Which pictures to hold: the one shown, the next three, the one before; `recent` keeps a few more until they age out.
export function wanted(ids, at, { ahead = 3, behind = 1 } = {}) {
  const list = [];
  for (const step of [0, 1, -1, 2, 3, 4, 5, 6]) {
    if (step > ahead || -step > behind) continue;
    const id = ids(at + step);
    if (id !== undefined && id !== null) list.push(id);
  }
  return list;
}
