import assert from "node:assert/strict";
import test from "node:test";
import { Decisions } from "../../imgprep/draw/annotator/js/decisions.mjs";

const box = { x1: 1, y1: 2, x2: 30, y2: 40 };
const item = (id, more = {}) => ({ id, pic_name: `p${id}.png`, state: "undone", rev: 0, region: null, suggestion: null, size: [100, 80], digest: `d${id}`, ...more });

function setUp() {
  const sent = [];
  let number = 0;
  const decisions = new Decisions({
    post: (message) => sent.push(message), remember: () => {}, picture: () => null, session: () => "s", token: () => `k${(number += 1)}`, changed: () => {},
  });
  return { decisions, sent };
}

test("a save names its image, revision, size and digest", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(3, { rev: 4 }));
  decisions.draft(3, { state: "region", region: box });
  assert.equal(decisions.save(3), true);
  assert.deepEqual({ ...sent[0] }, { type: "save", key: "k1", id: 3, pic_name: "p3.png", product_id: undefined, rev: 4, session: "s", size: [100, 80], digest: "d3", state: "region", region: box, edited: false });
});

test("a draft goes with the revision it was made on, and with that of an own save that was on its way", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(1));
  decisions.draft(1, { state: "region", region: box });
  decisions.learn(item(1, { rev: 9, state: "whole" }));
  decisions.save(1);
  assert.equal(sent[0].rev, 0);
  decisions.learn(item(2));
  decisions.draft(2, { state: "whole", region: null });
  decisions.save(2);
  decisions.draft(2, { state: "service", region: null });
  decisions.answered({ type: "saved", key: "k2", id: 2, rev: 4, item: item(2, { rev: 4, state: "whole" }) });
  decisions.save(2);
  assert.equal(sent[2].rev, 4);
});

test("the service's box is sent as the service's, and undo withdraws it", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(1, { suggestion: { ...box, x2: 31 }, service: box }));
  decisions.accept(decisions.items.get(1), box, { service: true });
  assert.deepEqual([sent[0].region, sent[0].service], [box, true]);
  assert.deepEqual(decisions.effective(1), { state: "region", region: box, from: "sent" });
  decisions.answered({ type: "saved", key: "k1", id: 1, rev: 1, item: item(1, { rev: 1, state: "region", region: box }) });
  decisions.travel("undo");
  assert.equal(sent[1].state, "undone");
});

test("there is nothing to save without a box, and an older item does not replace a newer one", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(1, { rev: 5 }));
  assert.equal(decisions.save(1), false);
  assert.equal(decisions.learn(item(1, { rev: 2 })), false);
  assert.deepEqual(sent, []);
});

test("a flag on a drafted region waits for it; on an undone image it is sent at once", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(1));
  assert.equal(decisions.mark(1, { flagged: true }), false);
  assert.deepEqual([sent[0].state, sent[0].flagged], ["undone", true]);
  decisions.answered({ type: "saved", key: "k1", id: 1, rev: 1, item: item(1, { rev: 1, flagged: true }) });
  decisions.draft(1, { state: "region", region: box });
  assert.equal(decisions.mark(1, { note: "strap" }), true);
  decisions.save(1);
  assert.deepEqual([sent[1].state, sent[1].note, sent[1].rev], ["region", "strap", 1]);
});

test("undo after a save sends what held before", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(1, { state: "whole", rev: 2 }));
  decisions.draft(1, { state: "region", region: box });
  decisions.save(1);
  decisions.answered({ type: "saved", key: "k1", id: 1, rev: 3, item: item(1, { state: "region", region: box, rev: 3 }) });
  assert.equal(decisions.travel("undo"), 1);
  assert.deepEqual([sent[1].state, sent[1].region, sent[1].rev], ["whole", null, 3]);
});

test("a refused decision on a conflict shows the conflict again, a refused box stays a draft", () => {
  const { decisions } = setUp();
  const sides = [{ rev: 1, who: "A", state: "whole", region: null }, { rev: 2, who: "B", state: "region", region: box }];
  decisions.learn(item(1, { state: "whole", rev: 1, conflict: sides }));
  decisions.settle(decisions.items.get(1), sides[1]);
  assert.equal(decisions.items.get(1).conflict.length, 0);
  decisions.answered({ type: "refused", key: "k1", id: 1, why: "no", item: item(1, { state: "whole", rev: 1, conflict: sides }) });
  assert.equal(decisions.items.get(1).conflict.length, 2);
  assert.equal(decisions.drafts.size, 0);
});

test("distant items are dropped, those in work are not", () => {
  const { decisions } = setUp();
  decisions.learn(item(0));
  decisions.draft(0, { state: "whole", region: null });
  for (let id = 1; id < 4000; id += 1) decisions.learn(item(id));
  decisions.dropDistant(new Set([5]));
  assert.ok(decisions.items.size <= 3002);
  assert.ok(decisions.items.has(0) && decisions.items.has(5) && !decisions.items.has(6));
});

test("items that undo may return to are not dropped", () => {
  const { decisions, sent } = setUp();
  decisions.learn(item(0));
  decisions.draft(0, { state: "region", region: box });
  decisions.save(0);
  decisions.answered({ type: "saved", key: "k1", id: 0, rev: 1, item: item(0, { rev: 1, state: "region", region: box }) });
  for (let id = 1; id <= 3200; id += 1) decisions.learn(item(id));
  decisions.dropDistant(new Set([3200]));
  assert.equal(decisions.items.has(1), false);
  assert.equal(decisions.travel("undo"), 0);
  assert.deepEqual([decisions.travel("undo"), sent.at(-1).state, sent.at(-1).pic_name], [0, "undone", "p0.png"]);
});
