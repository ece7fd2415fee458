import assert from "node:assert/strict";
import test from "node:test";
import { safeSource, step, toggled } from "../../imgprep/look/cards.mjs";

test("arrow keys walk the page and stop at its ends; other keys are not ours", () => {
  assert.equal(step("ArrowRight", 0, 12, 4), 1);
  assert.equal(step("ArrowDown", 1, 12, 4), 5);
  assert.equal(step("ArrowDown", 10, 12, 4), 11);
  assert.equal(step("ArrowUp", 2, 12, 4), 0);
  assert.equal(step("Tab", 2, 12, 4), null);
  assert.equal(step("ArrowLeft", 0, 0, 4), null);
});

test("a tick is set once and taken away whole", () => {
  assert.deepEqual(toggled([1, 2], 2, true), [1, 2]);
  assert.deepEqual(toggled([1, 2], 2, false), [1]);
  assert.deepEqual(toggled([], 7, true), [7]);
});

test("only pictures made by Python are shown", () => {
  assert.equal(safeSource("data:image/jpeg;base64,AA=="), "data:image/jpeg;base64,AA==");
  for (const uri of ["https://elsewhere/a.jpg", "data:text/html,x", "javascript:alert(1)", null, 3])
    assert.equal(safeSource(uri), null);
});
