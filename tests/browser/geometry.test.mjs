import assert from "node:assert/strict";
import test from "node:test";
import * as g from "../../imgprep/draw/annotator/js/geometry.mjs";
import { History, Outbox } from "../../imgprep/draw/annotator/js/decisions.mjs";
import { wanted } from "../../imgprep/draw/annotator/js/images.mjs";
import { actionOf, belongsToPage } from "../../imgprep/draw/annotator/js/input.mjs";

const image = { w: 1500, h: 2000 };

test("a pointer with fractions draws the very edges it points at", () => {
  const view = g.fit({ w: 733, h: 560 }, image);
  for (const box of [{ x1: 3, y1: 7, x2: 1499, y2: 1999 }, { x1: 0, y1: 0, x2: 1, y2: 1 }]) {
    const s = g.toStage(view, box);
    assert.deepEqual(g.boxBetween(g.toImage(view, s.x, s.y), g.toImage(view, s.x + s.w, s.y + s.h), image), box);
  }
});

test("a box drawn from outside is clamped, one wholly outside is none", () => {
  assert.deepEqual(g.boxBetween({ x: -50, y: -50 }, { x: 10, y: 9999 }, image), { x1: 0, y1: 0, x2: 10, y2: 2000 });
  assert.equal(g.boxBetween({ x: -50, y: 0 }, { x: -10, y: 90 }, image), null);
});

test("the overlap of two boxes is their intersection over their union", () => {
  const box = { x1: 0, y1: 0, x2: 10, y2: 10 };
  assert.equal(g.iou(box, box), 1);
  assert.equal(g.iou(box, { ...box, y2: 5 }), 0.5);
  assert.equal(g.iou(box, { x1: 10, y1: 0, x2: 20, y2: 10 }), 0);
  assert.equal(actionOf({ key: "a" }).action, "acceptService");
});

test("handles pull, turn over and never empty a box; moving stays inside", () => {
  const box = { x1: 100, y1: 100, x2: 200, y2: 200 };
  assert.deepEqual(g.dragHandle(box, "w", 150, 0, image), { x1: 200, y1: 100, x2: 250, y2: 200 });
  assert.deepEqual(g.dragHandle(box, "e", -100, 0, image), box);
  assert.deepEqual(g.moveBy(box, -999, 9999, image), { x1: 0, y1: 1900, x2: 100, y2: 2000 });
  assert.deepEqual(g.nudgeEdge(box, "x1", 500, image).x1, 199);
});

test("zooming keeps the point under the pointer", () => {
  const before = { scale: 0.4, ox: 12.5, oy: 3 };
  const point = g.toImage(before, 200, 150);
  const after = g.toImage(g.zoomAt(before, 200, 150, 3.3), 200, 150);
  assert.ok(Math.hypot(point.x - after.x, point.y - after.y) < 1e-9);
});

test("Enter while composing or held does not save; letters stay, Tab, F5 and Ctrl+S go", () => {
  assert.equal(actionOf({ key: "Enter", isComposing: true }), null);
  assert.equal(actionOf({ key: "Enter", repeat: true }).action, "none");
  assert.equal(actionOf({ key: "Enter" }).action, "save");
  assert.equal(belongsToPage({ key: "a" }), false);
  for (const event of [{ key: "Tab" }, { key: "F5" }, { key: "s", ctrlKey: true }]) assert.equal(belongsToPage(event), true);
});

test("one save in flight per item; the newest waits and takes the new revision", () => {
  const sent = [];
  const box = new Outbox((message) => sent.push(message));
  box.put({ key: "a", id: 1, rev: 0 });
  box.put({ key: "b", id: 1, rev: 0 });
  box.put({ key: "c", id: 1, rev: 0 });
  assert.deepEqual(sent.map((one) => one.key), ["a"]);
  box.answered({ type: "saved", key: "a", id: 1, rev: 5 });
  assert.deepEqual(sent[1], { key: "c", id: 1, rev: 5 });
  box.answered({ type: "refused", key: "c", id: 1, why: "no" });
  assert.equal(box.state(1), "refused");
  assert.equal(box.all().length, 1);
});

test("undo, redo, and the pictures requested ahead", () => {
  const history = new History();
  history.add(1);
  history.add(2);
  assert.equal(history.undo(), 2);
  assert.equal(history.redo(), 2);
  assert.deepEqual(wanted((at) => (at >= 0 && at < 4 ? at * 10 : undefined), 1), [10, 20, 0, 30]);
});
