import assert from "node:assert/strict";
import test from "node:test";
import { Position } from "../../imgprep/draw/annotator/js/position.mjs";

const items = (first, count) => Array.from({ length: count }, (_, step) => ({ id: 1000 + first + step }));

test("a position knows its item and those around it", () => {
  const position = new Position();
  position.arranged({ at: 2, count: 5 });
  position.learn(0, items(0, 5));
  assert.equal(position.current(), 1002);
  assert.equal(position.positionOf(1004), 4);
  assert.equal(position.positionOf(7), undefined);
  assert.deepEqual([position.inside(-1), position.inside(4), position.inside(5)], [false, true, false]);
});

test("more items are requested before the known ones end, and not at the ends of the queue", () => {
  const position = new Position();
  position.arranged({ at: 10, count: 1000 });
  position.learn(0, items(0, 41));
  assert.equal(position.nearEdge(), false);
  position.at = 33;
  assert.equal(position.nearEdge(), true);
  position.at = 0;
  assert.equal(position.nearEdge(), false);
});

test("distant items are dropped", () => {
  const position = new Position();
  position.arranged({ at: 0, count: 100_000 });
  for (let at = 0; at < 100_000; at += 500) {
    position.at = at;
    position.learn(at, items(at, 100));
  }
  assert.ok(position.order.size <= 400);
  assert.equal(position.current(), 1000 + position.at);
});
