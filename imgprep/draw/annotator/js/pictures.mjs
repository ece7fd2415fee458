// Decoded pictures by item id; what is no longer wanted is closed, so that memory stays bounded.

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

  // Python's answer. Resolves to the item id once the picture can be painted without delay.
  async take(message, buffer) {
    const { id } = message;
    this.asked.delete(id);
    const picture = { ...message, bitmap: null };
    if (!message.problem) {
      try {
        const bitmap = await this.decode(new Blob([buffer], { type: message.mime }));
        if (bitmap.width !== message.pw || bitmap.height !== message.ph) {
          bitmap.close();
          picture.problem = "shown in another size than it was sent in";
        } else picture.bitmap = bitmap;
      } catch (error) {
        picture.problem = `the browser cannot show it (${error.message})`;
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

  // What was asked of a kernel that is gone will not come.
  forgetAsked() {
    this.asked.clear();
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
