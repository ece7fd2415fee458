// A widget model that plays Python: it answers what the view asks, on command late, never or with a refusal. Every
// image has a size of its own, so that a box on the wrong image is seen.
export class FakeModel {
  constructor({ count = 6, text = {}, suggestions = {}, problems = {}, conflicts = {}, changes = {}, hold = [], textAll = null, texts = {} } = {}) {
    this.session = "s1";
    this.listeners = new Set();
    this.sent = [];
    this.held = new Map(hold.map((type) => [type, []])); // type of answer → answers kept back
    this.refusal = null;
    this.text = text;
    this.textAll = textAll;
    this.texts = texts;
    this.problems = problems;
    this.revision = 0;
    this.taken = new Map(); // key → answer
    this.items = Array.from({ length: count }, (_, id) => ({
      id, pic_name: `p${id}.png`, product_id: null, products: [`SKU-${id}`], state: "undone", rev: 0, region: null,
      suggestion: suggestions[id] || null, confidence: suggestions[id] ? 0.8 : null, method: suggestions[id] ? "border" : null,
      flagged: false, digest: `d${id}`, size: [300 + id, 400], note: "", failed: id === 4, findings: 0, conflict: conflicts[id] || [], ...changes[id],
    }));
  }

  get(name) {
    return this[name];
  }

  on(_name, listener) {
    this.listeners.add(listener);
  }

  off(_name, listener) {
    this.listeners.delete(listener);
  }

  hold(type) {
    this.held.set(type, []);
  }

  release(type) {
    const kept = this.held.get(type) || [];
    this.held.delete(type);
    for (const [message, buffers] of kept) this.tell(message, buffers);
  }

  tell(message, buffers = []) {
    if (this.held.has(message.type)) this.held.get(message.type).push([message, buffers]);
    else for (const listener of [...this.listeners]) listener({ session: this.session, ...message }, buffers);
  }

  send(content) {
    this.sent.push(structuredClone(content));
    setTimeout(() => this.answer(content));
  }

  counts() {
    const done = this.items.filter((item) => !["undone", "stale"].includes(item.state)).length;
    return { done, left: this.items.length - done, total: this.items.length, per_hour: done >= 2 ? 720 : null };
  }

  async answer(content) {
    const { view, type } = content;
    if (type === "hello") {
      this.tell({ type: "welcome", view, store: "abc", total: this.items.length, height: 428, page: 40,
        filters: ["all", "undone", "flagged", "failed", "conflict"], orders: ["given", "confidence"], show: "all", order: "given" });
      this.arrange(view, { show: "all", order: "given" });
    } else if (type === "arrange") this.arrange(view, content);
    else if (type === "window") this.window(view, content.at, content.around);
    else if (type === "want") for (const id of content.ids) await this.picture(view, id, "picture");
    else if (type === "thumbs") for (const id of content.ids) await this.picture(view, id, "thumb");
    else if (type === "save" || type === "decide") this.save(content);
  }

  arrange(view, { show, order, find, id }) {
    const keep = { all: () => true, undone: (one) => one.state === "undone", flagged: (one) => one.flagged, failed: (one) => one.failed, conflict: (one) => one.conflict.length };
    this.numbers = this.items.filter(keep[show]).map((one) => one.id);
    const at = find ? this.numbers.findIndex((number) => [`p${number}.png`, `SKU-${number}`].includes(find)) : Math.max(0, this.numbers.indexOf(id));
    if (at < 0) this.tell({ type: "trouble", view, why: `no product or image is called '${find}'` });
    else {
      this.tell({ type: "arranged", view, show, order, at, count: this.numbers.length, counts: this.counts() });
      this.window(view, at);
    }
  }

  window(view, at, around = 40) {
    const first = Math.max(0, at - around);
    this.tell({ type: "window", view, first, items: this.numbers.slice(first, at + around + 1).map((id) => ({ ...this.items[id] })) });
  }

  async picture(view, id, type) {
    const item = { ...this.items[id] };
    if (this.problems[id]) {
      this.tell({ type, view, id, problem: this.problems[id], item });
      return;
    }
    const [w, h] = item.size;
    const canvas = new OffscreenCanvas(w, h);
    const context = canvas.getContext("2d");
    context.fillStyle = `hsl(${(id * 47) % 360} 60% 60%)`;
    context.fillRect(0, 0, w, h);
    context.fillStyle = "#222";
    context.fillRect(80, 100, 140, 200);
    const bytes = await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer();
    this.tell({ type, view, id, mime: "image/png", pw: w, ph: h, w, h, digest: item.digest, item, text: this.textAll || this.text[id] || [[["ProductId", `SKU-${id}`]]] }, [new DataView(bytes)]);
  }

  save(content) {
    const item = this.items.find((one) => one.pic_name === content.pic_name);
    const answer = (message) => this.tell({ key: content.key, id: item.id, item: { ...item }, counts: this.counts(), ...message });
    if (this.taken.has(content.key)) answer(this.taken.get(content.key));
    else if (this.refusal) answer({ type: "refused", why: this.refusal });
    else if (content.rev !== item.rev) answer({ type: "refused", why: "has been saved elsewhere in the meantime" });
    else if (content.region && String(content.size) !== String(item.size)) answer({ type: "refused", why: "drawn on another image" });
    else {
      this.revision += 1;
      Object.assign(item, { state: content.state, region: content.region, rev: this.revision, conflict: [] });
      for (const name of ["flagged", "note"]) if (content[name] !== undefined) item[name] = content[name];
      this.taken.set(content.key, { type: "saved", rev: item.rev });
      answer({ type: "saved", rev: item.rev });
    }
  }
}
