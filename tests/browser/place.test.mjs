import assert from "node:assert/strict";
import test from "node:test";
import { Place } from "../../imgprep/draw/annotator/js/place.mjs";

const items = (first, count) => Array.from({ length: count }, (_, step) => ({ id: 1000 + first + step }));

test("a place knows its item and those around it, by position", () => {
  const place = new Place();
  place.arranged({ at: 2, count: 5 });
  place.told(0, items(0, 5));
  assert.equal(place.current(), 1002);
  assert.equal(place.positionOf(1004), 4);
  assert.equal(place.positionOf(7), undefined);
  assert.deepEqual([place.inside(-1), place.inside(4), place.inside(5)], [false, true, false]);
});

test("more is asked for before what is known ends, and not at the ends of the queue", () => {
  const place = new Place();
  place.arranged({ at: 10, count: 1000 });
  place.told(0, items(0, 41));
  assert.equal(place.nearEdge(), false);
  place.at = 33;
  assert.equal(place.nearEdge(), true);
  place.at = 0;
  assert.equal(place.nearEdge(), false);
});

test("what is far away is forgotten", () => {
  const place = new Place();
  place.arranged({ at: 0, count: 100_000 });
  for (let at = 0; at < 100_000; at += 500) {
    place.at = at;
    place.told(at, items(at, 100));
  }
  assert.ok(place.order.size <= 400);
  assert.equal(place.current(), 1000 + place.at);
});
