"""What a screen reader is given of the annotator: Chromium's accessibility tree, and what its live regions say."""

import pytest

from tests.browser.bare import Bare

SUGGESTION = {"x1": 80, "y1": 100, "x2": 220, "y2": 300}
CONTROLS = {"button", "textbox", "searchbox", "spinbutton", "combobox", "listbox", "option", "checkbox"}

# Notes each text that a live region comes to hold, in order, and which short waits are still to end.
LISTEN = """() => {
  window.announced = [];
  window.waits = new Set();
  const [set, clear] = [window.setTimeout.bind(window), window.clearTimeout.bind(window)];
  window.setTimeout = (action, delay = 0, ...rest) => {
    const id = set(() => { window.waits.delete(id); action(...rest); }, delay);
    if (delay < 1000) window.waits.add(id);
    return id;
  };
  window.clearTimeout = (id) => { window.waits.delete(id); clear(id); };
  for (const region of document.querySelectorAll(".ipr [role=status], .ipr [role=alert]")) {
    new MutationObserver(() => region.textContent && window.announced.push(region.textContent))
      .observe(region, { childList: true, characterData: true, subtree: true });
  }
}"""


@pytest.fixture
def bare(page):
    made = Bare(page, suggestions={1: SUGGESTION}, problems={3: "The file is missing."}).shown(0)
    made.wait_until_announced(lambda text: text.startswith("1 of 6"))
    page.evaluate(LISTEN)
    yield made
    assert page.errors == []


def tree(page):
    """(role, name, properties, value) of all that Chromium tells assistive technology of, in reading order."""
    session = page.context.new_cdp_session(page)
    nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
    found = []

    def walk(node):
        if not node["ignored"]:
            properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
            name, value = (node.get(part, {}).get("value", "") for part in ("name", "value"))
            found.append((node["role"]["value"], name, properties, value))
        for child in node.get("childIds", []):
            if child in nodes:
                walk(nodes[child])

    walk(next(node for node in nodes.values() if "parentId" not in node))
    return found


def controls(page):
    return [(role, name) for role, name, _, _ in tree(page) if role in CONTROLS]


def announced(bare, count):
    """Return the announcements, once there are `count` and the widget is at rest; no more may have come until then."""
    bare.page.wait_for_function(
        f"() => window.announced.length >= {count} && !window.waits.size"
        " && document.querySelector('.ipr').dataset.owed === String(model.held.get('saved')?.length || 0)"
    )
    texts = bare.page.evaluate("window.announced.splice(0)")
    assert len(texts) == count, texts
    return texts


def test_every_control_has_a_role_and_a_name_in_words(bare):
    found = controls(bare.page)
    named = [name for _, name in found]
    assert all(any(letter.isalpha() for letter in name) for name in named), named
    assert not set("⏎−✕") & set("".join(named))
    for wanted in (
        ("searchbox", "Jump to a product or image"),
        ("combobox", "Filter"),
        ("button", "Zoom in"),
        ("button", "Save, next"),
        ("button", "Whole image"),
        ("spinbutton", "left in pixels"),
        ("spinbutton", "bottom in pixels"),
        ("textbox", "Note on this image"),
        ("listbox", "Images before and after"),
    ):
        assert wanted in found
    visible = bare.page.evaluate(
        """() => [...document.querySelectorAll(".ipr button, .ipr input, .ipr select")]
        .filter((one) => one.checkVisibility({ visibilityProperty: true })).length"""
    )
    counted = [role for role, name in found if role not in ("listbox", "option") and name != "before"]
    assert len(counted) + 6 == visible  # six tiles are options


def test_a_tile_says_which_of_how_many_it_is(bare):
    attributes = bare.root.locator(".ipr-tile[aria-selected=true]").evaluate(
        "one => [one.ariaLabel, one.ariaPosInSet, one.ariaSetSize]"
    )
    assert attributes == ["p0.png: not done", "1", "6"]


def test_a_switch_says_whether_it_is_on(bare):
    def pressed(name):
        return next(properties["pressed"] for _, label, properties, _ in tree(bare.page) if label == name)

    assert pressed("Two clicks instead of a drag") == pressed("Flag") == "false"
    bare.press("t", "f")
    bare.page.locator('.ipr[data-owed="0"]').wait_for()
    assert pressed("Two clicks instead of a drag") == pressed("Flag") == "true"


def test_focus_goes_from_top_to_bottom_and_reaches_the_boxs_numbers(bare):
    bare.drag((80, 100), (220, 300))
    names = []
    for _ in range(40):
        bare.press("Tab")
        name = bare.page.evaluate(
            "document.querySelector('.ipr').contains(document.activeElement) &&"
            " (document.activeElement.ariaLabel || document.activeElement.textContent)"
        )
        if not name:
            break
        names.append(name)
    order = ["Jump to a product or image", "Filter", "Order", "Grid", "List of keys", "Zoom out", "Save, next", "Skip"]
    order += ["left in pixels", "top in pixels", "right in pixels", "bottom in pixels", "Note on this image"]
    assert [name for name in names if name in order] == order
    assert len(names) == len(set(names))
    numbers = {name: value for role, name, _, value in tree(bare.page) if role == "spinbutton"}
    assert {name: int(value) for name, value in numbers.items()} == {
        "left in pixels": 80,
        "top in pixels": 100,
        "right in pixels": 220,
        "bottom in pixels": 300,
    }


def test_a_box_that_is_drawn_and_saved_is_announced_once_each(bare):
    bare.drag((80, 100), (220, 300))
    assert announced(bare, 1) == ["1 of 6: p0.png, region, left 80 top 100 right 220 bottom 300, not saved"]
    bare.press("Enter")
    (text,) = announced(bare, 1)  # the next picture and the answer came at the same time
    assert text.startswith("Saved: p0.png. 2 of 6: p1.png, suggestion, 80 % sure, left 80 ")
    bare.press("PageUp")
    assert announced(bare, 1) == ["1 of 6: p0.png, region, left 80 top 100 right 220 bottom 300, saved"]


def test_a_save_that_is_answered_late_is_announced_when_it_is_saved(bare):
    bare.page.evaluate("model.hold('saved')")
    bare.press("w")
    assert announced(bare, 1) == ["1 of 6: p0.png, whole image, not saved"]
    bare.press("Enter")
    assert announced(bare, 1)[0].startswith("2 of 6: p1.png")
    bare.page.evaluate("model.release('saved')")
    assert announced(bare, 1) == ["Saved: p0.png."]


def test_the_three_states_are_announced_by_name(bare):
    bare.press("v")
    assert announced(bare, 1) == ["1 of 6: p0.png, left to the service, not saved"]
    bare.press("w")
    assert announced(bare, 1) == ["1 of 6: p0.png, whole image, not saved"]
    bare.press("Escape")
    bare.press("Escape")
    assert announced(bare, 1)[0].startswith("1 of 6: p0.png, ")


def test_a_held_arrow_key_is_one_change(bare):
    bare.drag((80, 100), (220, 300))
    announced(bare, 1)
    bare.page.evaluate(  # in one go: between keys that are sent one by one, a busy machine may rest
        """() => { for (let n = 0; n < 12; n += 1) document.querySelector(".ipr").dispatchEvent(
        new KeyboardEvent("keydown", { key: "ArrowRight", repeat: n > 0, bubbles: true, cancelable: true })); }"""
    )
    assert announced(bare, 1) == ["1 of 6: p0.png, region, left 92 top 100 right 232 bottom 300, not saved"]


def test_a_refusal_is_an_alert_and_a_broken_file_is_announced(bare):
    bare.page.evaluate("model.refusal = 'the disk is full'")
    bare.press("w", "Enter")
    bare.page.get_by_role("alert").filter(has_text="NOT SAVED: p0.png: the disk is full").wait_for()
    alerts = [text for text in bare.page.evaluate("window.announced") if text.startswith("NOT SAVED")]
    assert len(alerts) == 1
    bare.press("s", "s")
    bare.wait_until_announced(lambda text: text.startswith("4 of 6: p3.png, The file is missing."))


def test_the_grid_is_a_list_whose_chosen_card_is_announced(bare):
    bare.press("g")
    bare.page.locator('.ipr-card[data-state="ready"]').wait_for()
    bare.wait_until_announced(lambda text: "1 of 6 on this page: p0.png, no suggestion" in text)
    roles = [(role, name) for role, name, _, _ in tree(bare.page)]
    assert ("list", "Suggestions") in roles
    assert ("listitem", "p1.png, 80 %") in roles
    assert ("button", "Accept") in roles
    bare.press("ArrowRight", "x")
    bare.wait_until_announced(lambda text: "2 of 6 on this page: p1.png, rejected" in text)


def test_the_list_of_keys_takes_the_focus_and_gives_it_back(bare):
    bare.press("?")
    dialogs = [properties for role, name, properties, _ in tree(bare.page) if (role, name) == ("dialog", "Keys")]
    assert dialogs[0]["modal"]
    assert bare.page.evaluate("document.activeElement.textContent").startswith("Close")
    bare.press("Escape")
    assert bare.page.evaluate("document.activeElement.role") == "application"
