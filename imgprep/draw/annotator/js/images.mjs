import { t } from "./language.mjs";

// Decoded previews by item id; previews no longer needed are closed, which bounds memory use.
export class Pictures {
  constructor(ask, { keep = 8, decode = (blob) => createImageBitmap(blob) } = {}) {
    this.ask = ask; // ask([ids])
    this.keep = keep;
    this.decode = decode;
    this.held = new Map(); // id → {bitmap, w, h, digest, problem, …}, oldest first
    this.asked = new Set();
    this.needed = new Set();
    this.closed = false;
  }

  get(id) {
    return this.held.get(id) || null;
  }

  want(ids) {
    this.needed = new Set(ids);
    const missing = ids.filter((id) => !this.held.has(id) && !this.asked.has(id));
    for (const id of missing) this.asked.add(id);
    if (missing.length) this.ask(missing);
    this.release();
  }

  // Handle Python's answer; resolves to the item id once the preview can be painted without delay.
  async take(message, buffer) {
    const { id } = message;
    this.asked.delete(id);
    const picture = { ...message, bitmap: null };
    if (!message.problem) {
      try {
        const bitmap = await this.decode(new Blob([buffer], { type: message.mime }));
        if (bitmap.width !== message.pw || bitmap.height !== message.ph) {
          bitmap.close();
          picture.problem = t("displayed at a different size than it was sent");
        } else picture.bitmap = bitmap;
      } catch (error) {
        picture.problem = t("the browser cannot show it ({error})", { error: error.message });
      }
    }
    if (this.closed) {
      picture.bitmap?.close();
      return null;
    }
    this.drop(id);
    this.held.set(id, picture);
    this.release();
    return id;
  }

  drop(id) {
    this.held.get(id)?.bitmap?.close();
    this.held.delete(id);
  }

  release() {
    for (const id of [...this.held.keys()]) {
      if (this.held.size <= this.keep) break;
      if (!this.needed.has(id)) this.drop(id);
    }
  }

  close() {
    this.closed = true;
    for (const id of [...this.held.keys()]) this.drop(id);
  }
}

// Thumbnails in the filmstrip, by item id: requested after a pause; the oldest are closed when there are too many.
export class Thumbnails {
  constructor(ask, { keep = 60, rest = 200 } = {}) {
    this.ask = ask; // ask([ids])
    this.keep = keep;
    this.rest = rest; // ms
    this.held = new Map(); // id → {bitmap, problem}
    this.asked = new Set();
    this.timer = 0;
  }

  get(id) {
    return this.held.get(id) || null;
  }

  soon(ids) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const missing = ids.filter((id) => id !== undefined && !this.asked.has(id));
      for (const id of missing) this.asked.add(id);
      if (missing.length) this.ask(missing);
    }, this.rest);
  }

  take(id, thumb) {
    this.held.get(id)?.bitmap?.close();
    this.held.set(id, thumb);
    for (const old of [...this.held.keys()].slice(0, Math.max(0, this.held.size - this.keep))) {
      this.held.get(old).bitmap?.close();
      this.held.delete(old);
      this.asked.delete(old);
    }
  }

  close() {
    clearTimeout(this.timer);
    for (const thumb of this.held.values()) thumb.bitmap?.close();
    this.held.clear();
  }
}

// The previews to keep: the current one, the next three, and the previous one.
export function wanted(ids, at, { ahead = 3, behind = 1 } = {}) {
  const list = [];
  for (const step of [0, 1, -1, 2, 3, 4, 5, 6]) {
    if (step > ahead || -step > behind) continue;
    const id = ids(at + step);
    if (id !== undefined && id !== null) list.push(id);
  }
  return list;
}
