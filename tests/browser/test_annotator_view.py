"""The annotator's view on a bare page: what hands do, and that nothing lands on the wrong image."""

import pytest

from imgprep.core.language import texts
from tests.browser.bare import ADDRESS, Bare

BOX = {"x1": 80, "y1": 100, "x2": 220, "y2": 300}
EDGES = [80, 100, 220, 300]


def box_of(item):
    return [item["region"][edge] for edge in ("x1", "y1", "x2", "y2")] if item["region"] else None


@pytest.fixture
def bare(page):
    made = Bare(page).shown(0)
    yield made
    assert page.errors == []


# Drawing


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_pointer_with_fractions_draws_the_exact_edges(browser, ratio):
    context = browser.new_context(viewport={"width": 1250, "height": 950}, device_scale_factor=ratio)
    bare = Bare(context.new_page()).shown(0)
    for edges in ([3, 7, 299, 399], [101, 53, 202, 377], [0, 0, 1, 1]):
        bare.drag((edges[0], edges[1]), (edges[2], edges[3]))
        if edges[2] - edges[0] > 3:
            assert bare.box == edges
        bare.press("Escape")
    context.close()


def test_a_box_may_start_outside_and_is_clamped_and_one_wholly_outside_is_none(bare):
    bare.drag((-12, -8), (150, 200))
    assert bare.box == [0, 0, 150, 200]
    bare.press("Escape")
    bare.drag((-60, 10), (-20, 300))
    assert (bare.box, bare.source) == ([], "none")
    assert "outside" in bare.status


def test_a_click_is_not_a_box_until_two_clicks_are_asked_for(bare):
    bare.click(50, 60)
    assert bare.box == []
    bare.press("t")
    bare.click(50, 60)
    bare.page.mouse.move(*bare.point(150, 160))
    bare.click(200, 300)
    assert bare.box == [50, 60, 200, 300]


def test_each_handle_pulls_its_own_edges_and_the_inside_moves_the_box(bare):
    grips = {"nw": (80, 100), "n": (150, 100), "ne": (220, 100), "e": (220, 200)}
    grips |= {"se": (220, 300), "s": (150, 300), "sw": (80, 300), "w": (80, 200), "inside": (150, 180)}
    for name, (x, y) in grips.items():
        bare.drag((80, 100), (220, 300))
        assert bare.box == EDGES
        bare.drag((x, y), (x + 10, y + 20))
        all_of_it = name == "inside"
        wanted = [
            80 + 10 * (all_of_it or "w" in name), 100 + 20 * (all_of_it or (name != "inside" and "n" in name)),
            220 + 10 * (all_of_it or "e" in name), 300 + 20 * (all_of_it or "s" in name),
        ]  # fmt: skip
        assert bare.box == wanted, name
        bare.press("Escape")


def test_arrows_move_the_box_or_an_edge_and_stay_on_the_image(bare):
    bare.drag((80, 100), (220, 300))
    bare.press("ArrowLeft", "Shift+ArrowDown")
    assert bare.box == [79, 110, 219, 310]
    bare.press("e", "Shift+ArrowRight", "ArrowUp")  # the left edge: up means nothing to it
    assert bare.box == [89, 110, 219, 310]
    bare.press("e", "e", "e", "e")
    for _ in range(12):
        bare.press("Shift+ArrowLeft")
    assert bare.box == [0, 110, 130, 310]


def test_number_fields_take_whole_numbers_inside_the_image_only(bare):
    bare.drag((80, 100), (220, 300))
    field = bare.root.get_by_label("right in pixels")
    field.fill("260")
    field.press("Enter")
    assert bare.box == [80, 100, 260, 300]
    for wrong in ("9999", "80", "1.5", ""):
        field.fill(wrong)
        field.press("Enter")
        assert bare.box == [80, 100, 260, 300]
        assert "whole number" in bare.status
    assert field.input_value() == "260"


def test_wheel_zooms_to_the_pointer_and_leaves_the_box_alone(bare):
    bare.drag((80, 100), (220, 300))
    bare.page.mouse.move(*bare.point(80, 100))
    bare.page.mouse.wheel(0, -400)
    assert bare.box == EDGES
    x, y = bare.point(80, 100)  # that point has not moved: the corner can still be taken there
    bare.page.mouse.down()
    bare.page.mouse.move(x + 60, y + 60, steps=2)
    bare.page.mouse.up()
    moved = bare.box
    assert moved[2:] == [220, 300]
    assert 80 < moved[0] < 80 + 60 / bare.view((300, 400))[0]  # zoomed in: fewer image pixels a screen pixel
    bare.press("0")
    bare.drag((moved[0], moved[1]), (80, 100))
    assert bare.box == EDGES


@pytest.mark.parametrize("way", ["space", "middle"])
def test_panning_moves_the_picture_and_draws_nothing(bare, way):
    bare.press("1")  # one image pixel per screen pixel
    if way == "space":
        bare.page.keyboard.down(" ")
    bare.drag((100, 100), (160, 180), button="left" if way == "space" else "middle")
    if way == "space":
        bare.page.keyboard.up(" ")
    assert bare.box == []
    rect = bare.root.locator(".ipr-stage").bounding_box()
    scale = bare.view((300, 400))[0]
    left = rect["x"] + (rect["width"] - 300) / 2 + 60 * scale
    top = rect["y"] + (rect["height"] - 400) / 2 + 80 * scale
    bare.page.mouse.move(left + 50, top + 60)
    bare.page.mouse.down()
    bare.page.mouse.move(left + 150, top + 160, steps=2)
    bare.page.mouse.up()
    assert max(abs(a - b) for a, b in zip(bare.box, [50, 60, 150, 160], strict=True)) <= 1


def test_at_one_to_one_a_pointer_without_fractions_is_exact(bare):
    bare.page.evaluate("document.body.style.paddingLeft = '0.37px'")  # the stage begins between two pixels
    bare.press("1")
    rect = bare.root.locator(".ipr-stage").bounding_box()
    left, top = rect["x"] + (rect["width"] - 300) / 2, rect["y"] + (rect["height"] - 400) / 2
    bare.page.mouse.move(round(left + 40), round(top + 50))
    bare.page.mouse.down()
    bare.page.mouse.move(round(left + 40) + 120, round(top + 50) + 200, steps=2)
    bare.page.mouse.up()
    x1, y1, x2, y2 = bare.box
    assert (x2 - x1, y2 - y1) == (120, 200)
    assert abs(x1 - 40) <= 1
    # The picture lies on whole pixels: an edge is where the pointer was, and dragging it by n pixels moves it by n.
    bare.page.mouse.move(round(left + 40), round(top + 150))
    bare.page.mouse.down()
    bare.page.mouse.move(round(left + 40) + 7, round(top + 150), steps=2)
    bare.page.mouse.up()
    assert bare.box == [x1 + 7, y1, x2, y2]


def test_a_moved_pointer_is_drawn_in_the_next_frame_without_a_word_to_python(bare):
    bare.page.mouse.move(*bare.point(80, 100))
    bare.page.mouse.down()
    bare.page.evaluate("""() => {
      const front = document.querySelectorAll(".ipr-stage canvas")[1];
      const ink = () => { const d = front.getContext("2d").getImageData(0, 0, front.width, front.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; };
      window.drawn = new Promise((resolve) => document.addEventListener("pointermove", () => {
        const old = ink();
        requestAnimationFrame(() => setTimeout(() => resolve([old, ink()])));
      }, { once: true }));
    }""")  # noqa: E501
    bare.page.mouse.move(*bare.point(200, 300))
    old, new = bare.page.evaluate("window.drawn")
    assert new != old
    assert {message["type"] for message in bare.page.evaluate("model.sent")} <= {"hello", "want", "thumbs"}
    bare.page.mouse.up()


# Deciding


def test_three_states_are_shown_apart_and_sent_apart(bare):
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1).press("w")
    assert bare.root.locator(".ipr-badge").inner_text() == "Whole image · Crop: false"
    bare.press("Enter")
    bare.shown(2).press("v")
    assert bare.root.locator(".ipr-badge").inner_text() == "Left to the service"
    bare.press("Enter")
    bare.shown(3)
    items = bare.settled()
    assert [item["state"] for item in items[:4]] == ["region", "whole", "service", "undone"]
    assert [box_of(item) for item in items[:3]] == [EDGES, None, None]
    tiles = bare.root.locator(".ipr-tile[data-at]")
    assert [tiles.nth(n).get_attribute("data-state") for n in range(4)] == ["region", "whole", "service", "undone"]
    looks = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).borderRadius].join()"
    assert len({tiles.nth(n).locator(".ipr-dot").evaluate(looks) for n in range(4)}) == 4


def test_undo_and_redo_go_over_images(bare):
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1).press("w", "Enter")
    bare.shown(2)
    bare.settled()
    bare.press("Control+z")
    bare.shown(1)
    assert bare.source == "draft"
    bare.press("Control+z", "Control+z")
    bare.shown(0)
    items = bare.settled()
    assert [item["state"] for item in items[:2]] == ["undone", "undone"]
    bare.press("Control+Shift+z")
    assert bare.settled()[0]["region"] == BOX or bare.source == "draft"
    bare.press("Control+y", "Control+y", "Control+y")
    items = bare.settled()
    assert [item["state"] for item in items[:2]] == ["region", "whole"]


def test_same_as_previous_skip_back_flag_and_note(bare):
    bare.press("=")
    assert "no previous box" in bare.status
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1).press("=")
    assert bare.box == EDGES
    bare.press("s")
    bare.shown(2).press("Shift+Enter")
    bare.shown(1)
    assert (bare.box, bare.source) == (EDGES, "draft")  # a draft waits where it was left
    bare.press("f", "n")
    bare.page.keyboard.type("strap?")
    bare.press("Enter")
    assert bare.root.locator(".ipr-flagged").first.is_visible()
    bare.press("Enter")
    bare.shown(2)
    item = bare.settled()[1]
    assert (item["flagged"], item["note"], box_of(item)) == (True, "strap?", EDGES)


def test_a_finished_item_can_be_reopened_and_changed(bare):
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1).press("Shift+Enter")
    bare.shown(0)
    bare.settled()
    assert bare.root.locator(".ipr-saved").inner_text() == "saved"
    bare.press("ArrowRight", "Enter")
    bare.shown(1)
    assert box_of(bare.settled()[0]) == [81, 100, 221, 300]
    bare.press("PageUp")
    bare.shown(0).press("Delete")
    assert bare.settled()[0]["state"] == "undone"


def test_jump_filter_and_order(bare):
    bare.press("/")
    bare.page.keyboard.type("SKU-3")
    bare.press("Enter")
    bare.shown(3)
    bare.press("/")
    bare.page.keyboard.type("nothing")
    bare.press("Enter")
    bare.page.wait_for_function("document.querySelector('.ipr-status').textContent.includes('nothing')")
    bare.root.get_by_label("Filter").select_option("failed")
    bare.shown(4)
    assert bare.root.get_by_text("failed in the last run", exact=True).last.is_visible()
    assert bare.root.get_attribute("data-count") == "1"
    bare.root.get_by_label("Filter").select_option("flagged")
    bare.page.get_by_text("No images match this filter.").wait_for()
    assert not bare.root.get_by_role("button", name="Save, next").is_visible()
    assert bare.root.get_by_role("button").all_inner_texts() == ["Grid\nG", "Keys\n?", "Show all images"]
    bare.press("w", "g", "Enter")
    hidden = bare.root.locator(".ipr-work, .ipr-grid, .ipr-strip").all()
    assert len(hidden) == 3 and not any(each.is_visible() for each in hidden)
    assert bare.saves() == []
    bare.root.get_by_label("Order").select_option("confidence")
    sent = bare.page.evaluate("model.sent.at(-1)")
    assert (sent["type"], sent["show"], sent["order"]) == ("arrange", "flagged", "confidence")
    bare.root.get_by_role("button", name="Show all images").click()
    bare.shown(0)
    assert bare.root.get_by_role("button", name="Save, next").is_visible()


def test_progress_says_done_left_and_pace(bare):
    for number in range(3):
        bare.shown(number).press("w", "Enter")
    bare.shown(3)
    bare.settled()
    assert bare.root.locator(".ipr-done").inner_text() == "3 done · 3 left · 720 per hour · about 1 min to go"


# Suggestions and the grid


def test_enter_accepts_a_suggestion_and_a_drag_replaces_it(page):
    seen = {"x1": 90, "y1": 100, "x2": 230, "y2": 300}
    bare = Bare(page, suggestions={0: BOX, 1: BOX, 2: BOX}, changes={3: {"service": seen}}).shown(0)
    assert (bare.box, bare.source) == (EDGES, "suggestion")
    bare.press("a")
    assert "not asked about this image" in bare.status
    bare.press("Enter")
    bare.shown(1).drag((100, 120), (160, 260), 1)  # inside the suggestion, which may be far too large
    bare.press("Enter")
    bare.shown(2).drag((220, 300), (250, 350), 2)  # a handle is a handle
    bare.press("Enter")
    bare.shown(3)
    items = bare.settled()
    assert [box_of(item) for item in items[:3]] == [EDGES, [100, 120, 160, 260], [80, 100, 250, 350]]
    assert bare.root.get_attribute("data-service") == "90,100,230,300"
    bare.press("a")
    bare.shown(4)
    assert box_of(bare.settled()[3]) == [90, 100, 230, 300]
    assert [save.get("service") for save in bare.saves()] == [None, None, None, True]


def test_the_grid_accepts_a_page_but_what_was_rejected(page):
    bare = Bare(page, count=45, suggestions=dict.fromkeys(range(45), BOX)).shown(0)
    bare.press("g")
    page.locator(".ipr-grid-head", has_text="Enter accepts 40").wait_for()
    assert page.locator(".ipr-card").count() == 40
    bare.press("ArrowRight", "x")
    page.locator(".ipr-card").nth(5).click()
    page.locator(".ipr-grid-head", has_text="Enter accepts 38").wait_for()
    bare.root.focus()
    bare.press("Enter")
    items = bare.settled()
    done = [item["id"] for item in items if item["state"] == "region"]
    assert done == [number for number in range(40) if number not in (1, 5)]
    bare.press("PageDown")
    page.locator(".ipr-grid-head", has_text="41–45 of 45").wait_for()
    bare.press("o")
    bare.shown(40)


def test_a_page_is_accepted_down_to_the_threshold_that_is_shown_and_by_hand_below_it(page):
    sure = {number: {"confidence": confidence} for number, confidence in enumerate([0.95, 0.8, 0.79, 0.3, 0.6, 0.99])}
    bare = Bare(page, suggestions=dict.fromkeys(range(6), BOX), changes=sure).shown(0)
    bare.press("g")
    head = page.locator(".ipr-grid-head")
    head.get_by_text("Enter accepts 3").wait_for()
    threshold = bare.root.get_by_label("Accept suggestions from this confidence, percent")
    assert threshold.input_value() == "80"
    cards = page.locator(".ipr-card")
    assert cards.nth(2).inner_text().endswith("79 %, not accepted")
    cards.nth(3).click()  # taken by hand
    cards.nth(5).click()  # rejected
    head.get_by_text("Enter accepts 3").wait_for()
    threshold.fill("97")  # what a person rejected or took stays so
    head.get_by_text("Enter accepts 1").wait_for()
    threshold.fill("60")
    threshold.press("Enter")
    head.get_by_text("Enter accepts 5").wait_for()
    assert bare.saves() == []
    bare.press("Enter")
    items = bare.settled()
    assert [item["id"] for item in items if item["state"] == "region"] == [0, 1, 2, 3, 4]


def test_enter_does_not_settle_a_conflict_unseen(page):
    sides = [{"rev": rev, "who": who, "state": "region", "region": BOX} for rev, who in ((1, "Ann"), (2, "Bo"))]
    bare = Bare(page, suggestions={0: BOX}, conflicts={0: sides}).shown(0)
    bare.press("Enter")
    assert "decided differently" in bare.status
    assert bare.saves() == []
    bare.press("s")
    bare.shown(1)
    assert bare.status == ""


def test_the_page_after_is_asked_to_be_thought_about_once_the_page_is_there(page):
    bare = Bare(page, count=90, suggestions=dict.fromkeys(range(90), BOX)).shown(0)
    bare.press("g")
    page.wait_for_function("model.sent.some((message) => message.type === 'ahead')")
    (ahead,) = page.evaluate("model.sent.filter((message) => message.type === 'ahead')")
    assert ahead["ids"] == list(range(40, 80))
    assert not bare.root.locator(".ipr-strip").is_visible()


def test_a_conflict_is_decided_in_the_grid_and_only_there_where_chosen(page):
    sides = [
        {"rev": 3, "who": "Ann", "state": "region", "region": BOX},
        {"rev": 5, "who": "Bo", "state": "whole", "region": None},
    ]
    bare = Bare(page, suggestions={1: BOX}, conflicts={1: sides, 2: sides}).shown(0)
    bare.root.get_by_label("Filter").select_option("conflict")
    bare.shown(1)
    assert "Ann and Bo decided differently" in bare.root.locator(".ipr-warn").inner_text()
    bare.press("g")
    page.locator('.ipr-card[data-state="conflict"] .ipr-side-button', has_text="Bo: whole image").first.wait_for()
    bare.press("Enter")  # accepts suggestions, and decides no conflict
    assert bare.saves() == []
    bare.press("2")
    (sent,) = bare.saves()
    assert (sent["type"], sent["pic_name"], sent["revision"]) == ("decide", "p1.png", 5)
    items = bare.settled()
    assert [items[1]["state"], len(items[2]["conflict"])] == ["whole", 2]


# The corruption cases


def test_a_held_enter_saves_once_and_never_an_empty_box(bare):
    for _ in range(6):
        bare.page.keyboard.down("Enter")
    bare.page.keyboard.up("Enter")
    assert bare.saves() == []
    bare.drag((80, 100), (220, 300))
    for _ in range(6):
        bare.page.keyboard.down("Enter")
    bare.page.keyboard.up("Enter")
    bare.shown(1)
    bare.settled()
    assert [message["pic_name"] for message in bare.saves()] == ["p0.png"]


def test_nothing_can_be_drawn_or_saved_while_the_picture_is_loading(page):
    bare = Bare(page, hold=["picture"], suggestions={0: BOX})
    page.locator('.ipr[data-id="0"]').wait_for()
    bare.root.focus()
    bare.drag((80, 100), (220, 300))
    bare.press("Enter", "w", "Enter", "=", "ArrowLeft", "v", "Enter")
    assert (bare.saves(), bare.source) == ([], "suggestion")
    page.evaluate("model.release('picture')")
    bare.shown(0)
    assert (bare.box, bare.source) == (EDGES, "suggestion")


def test_a_window_that_gets_no_frames_is_ready_all_the_same(page):
    page.add_init_script("window.requestAnimationFrame = () => 0")
    bare = Bare(page).shown(0)
    page.wait_for_function(
        "model.sent.filter((message) => message.type === 'want').flatMap((message) => message.ids).includes(3)"
    )
    bare.press("w", "Enter")
    bare.shown(1)
    page.locator('.ipr[data-at="1"][data-done="1"]').wait_for()


def test_a_gesture_that_outlives_its_image_draws_on_no_other(bare):
    bare.page.mouse.move(*bare.point(80, 100))
    bare.page.mouse.down()
    bare.page.mouse.move(*bare.point(150, 200), steps=2)
    bare.press("s")
    bare.shown(1)
    bare.page.mouse.move(*bare.point(220, 300), steps=2)
    bare.page.mouse.up()
    assert (bare.box, bare.source) == ([], "none")
    bare.press("Enter")
    assert bare.saves() == []


def test_a_slow_store_delays_no_drawing_and_every_box_lands_on_its_image(bare):
    bare.page.evaluate("model.hold('saved')")
    for number in range(4):
        bare.shown(number).drag((80 + number, 100), (220, 300), number)
        bare.press("Enter")
    bare.shown(4)
    assert bare.root.get_attribute("data-owed") == "4"
    bare.press("Shift+Enter")
    bare.shown(3)
    assert bare.root.locator(".ipr-saved").inner_text() == "saving…"
    bare.press("ArrowRight", "Enter")  # changed while the first save is on its way
    bare.page.evaluate("model.release('saved')")
    items = bare.settled()
    assert [box_of(item) for item in items[:3]] == [[80 + n, 100, 220, 300] for n in range(3)]
    assert box_of(items[3]) == [84, 100, 221, 300]
    assert len(bare.saves()) == 5


def test_a_refused_save_is_an_alert_and_the_drawing_is_kept(bare):
    bare.page.evaluate("model.refusal = 'the disk is full'")
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1)
    assert "NOT SAVED: p0.png: the disk is full" in bare.root.get_by_role("alert").inner_text()
    bare.page.evaluate("model.refusal = null")
    bare.press("PageUp")
    bare.shown(0)
    assert (bare.box, bare.source) == (EDGES, "draft")
    bare.press("Enter")
    bare.shown(1)
    assert box_of(bare.settled()[0]) == EDGES
    assert not bare.root.get_by_role("alert").is_visible()


def test_a_stale_revision_overwrites_nothing_and_the_draft_stays(bare):
    bare.drag((80, 100), (220, 300))
    bare.page.evaluate(  # somebody else saves, and this display hears of it while the draft lies over it
        "Object.assign(model.items[0], { rev: 9, state: 'whole' });"
        "model.tell({ type: 'items', items: [model.items[0]] })"
    )
    assert bare.source == "draft"
    bare.press("Enter")
    bare.page.get_by_role("alert").filter(has_text="saved elsewhere").wait_for()
    bare.press("PageUp")
    bare.shown(0)
    assert bare.source == "draft"
    assert bare.settled()[0]["state"] == "whole"
    bare.press("Enter")  # seen, and meant
    bare.shown(1)
    assert box_of(bare.settled()[0]) == EDGES


def test_two_displays_of_one_widget_tell_each_other_and_lose_nothing(page):
    bare = Bare(page, displays=("one", "two")).shown(0)
    other = page.locator(".ipr").nth(1)
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1)
    page.locator('#two .ipr[data-state="region"]').wait_for()
    assert other.get_attribute("data-box") == "80,100,220,300"
    other.focus()
    bare.press("ArrowRight", "Enter")
    page.locator('#two .ipr[data-painted="1"]').wait_for()
    page.locator('#two .ipr[data-owed="0"]').wait_for()
    assert box_of(bare.settled()[0]) == [81, 100, 221, 300]
    assert page.errors == []


def test_what_python_never_answered_is_sent_again_after_a_reload(page):
    bare = Bare(page).shown(0)
    page.evaluate("() => { model.save = () => {}; }")  # a kernel that died
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1)
    page.locator('.ipr[data-owed="1"]').wait_for()
    again = Bare(page).shown(0)
    page.locator('.ipr[data-done="1"]').wait_for()
    assert box_of(again.settled()[0]) == EDGES
    assert page.evaluate("localStorage.length") == 0


def test_a_save_from_before_that_is_refused_becomes_a_draft_on_its_image(page):
    bare = Bare(page).shown(0)
    page.evaluate("() => { model.save = () => {}; }")
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    bare.shown(1)
    page.goto(ADDRESS)
    bare = Bare(page, changes={0: {"rev": 7}}).shown(0)
    page.get_by_role("alert").wait_for()
    assert (bare.box, bare.source) == (EDGES, "draft")


def test_a_lost_connection_is_reported(bare):
    bare.page.evaluate("() => { model.send = () => { throw new Error('comm is closed'); }; }")
    bare.drag((80, 100), (220, 300))
    bare.press("Enter")
    assert "No connection to Python" in bare.root.get_by_role("alert").inner_text()


# Seeing


def test_product_text_is_text_and_never_markup(page):
    bad = "<img src=x onerror=window.hacked=1><b>bold</b>"
    bare = Bare(page, textAll=[[["ProductId", "1"], ["title", bad]]]).shown(0)
    page.locator(".ipr-text dd", has_text="bold").wait_for()
    assert bad in bare.root.locator(".ipr-text").inner_text()
    assert page.evaluate("window.hacked") is None


def test_size_share_and_warnings_are_shown(bare):
    bare.drag((0, 100), (150, 300))
    assert bare.root.locator(".ipr-measure").inner_text() == "150 × 200 px · 25.0 % of 300 × 400"
    assert "touches the left edge" in bare.root.locator(".ipr-warn").inner_text()
    bare.press("Escape")
    bare.drag((100, 100), (120, 120))
    assert "tiny" in bare.root.locator(".ipr-warn").inner_text()
    ink = bare.root.locator(".ipr-crop").evaluate(
        "c => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[3]"
    )
    assert ink == 255


def test_a_broken_file_says_so_and_the_queue_goes_on(page):
    bare = Bare(page, problems={1: "The file is missing: p1.png is not in the image folder."}).shown(0)
    bare.press("s")
    page.locator('.ipr[data-painted="1"]').wait_for()
    assert "p1.png is not in the image folder" in bare.root.locator(".ipr-message").inner_text()
    bare.press("Enter")
    bare.shown(2)
    assert bare.saves() == []


def test_decoded_pictures_are_bounded_and_released(page):
    bare = Bare(page, count=60).shown(0)
    for number in range(40):
        bare.shown(number).press("s")
    bare.shown(40)
    assert page.evaluate("window.bitmaps") <= 9 + 60  # large ones, and the filmstrip's small ones
    page.evaluate("closers.forEach((close) => close())")
    page.wait_for_function("window.bitmaps === 0")
    assert page.locator(".ipr").count() == 0


# Keys


def test_letters_stay_in_the_widget_and_the_browsers_keys_go_on(bare):
    bare.press(*"abdmxyz", "Enter", "ArrowDown", "Escape", "?", "Escape")
    assert bare.page.evaluate("window.outside") == []
    bare.page.evaluate("addEventListener('keydown', (event) => event.preventDefault())")  # no reload, no dialogue here
    bare.press("F5", "Control+s")
    assert bare.page.evaluate("window.outside") == [["F5", False], ["Control", False], ["s", False]]


def test_a_front_end_that_gets_keys_first_leaves_the_widgets_alone(bare):
    # As Lumino does in Notebook 7: on the document, before the widget.
    bare.page.evaluate(
        """() => document.addEventListener("keydown", (event) => {
        if (!event.target.closest("[data-lm-suppress-shortcuts]")) window.taken = [...(window.taken || []), event.key];
        }, { capture: true })"""
    )
    bare.press("a", "d", "d", "Enter", "Escape")
    assert bare.page.evaluate("window.taken") is None
    bare.page.evaluate("addEventListener('keydown', (event) => event.preventDefault())")
    bare.press("Control+s")
    assert bare.page.evaluate("window.taken") == ["Control", "s"]
    bare.page.locator("#before").focus()
    bare.press("a")
    assert bare.page.evaluate("window.taken") == ["Control", "s", "a"]


def test_tab_leaves_the_widget_and_every_control_has_a_name(bare):
    names = bare.page.evaluate(
        """() => [...document.querySelectorAll(".ipr button, .ipr input, .ipr select")]
        .filter((e) => e.checkVisibility({ visibilityProperty: true }))
        .map((e) => e.getAttribute("aria-label") || e.title || e.textContent.trim())"""
    )
    assert len(names) > 20
    assert all(names)
    for _ in range(60):
        bare.press("Tab")
        if not bare.page.evaluate("document.querySelector('.ipr').contains(document.activeElement)"):
            return
    pytest.fail("Tab never leaves the widget")


def test_enter_during_text_composition_saves_nothing(bare):
    bare.drag((80, 100), (220, 300))
    for target in ("document.querySelector('.ipr')", "document.querySelector('.ipr-note')"):
        bare.page.evaluate(
            f"{target}.dispatchEvent(new KeyboardEvent('keydown', "
            "{ key: 'Enter', isComposing: true, bubbles: true, cancelable: true }))"
        )
    assert bare.saves() == []
    assert bare.source == "draft"


def test_the_question_mark_lists_the_keys(bare):
    bare.press("?")
    assert bare.page.get_by_role("dialog", name="Keys").is_visible()
    bare.press("w")  # the list is in front: nothing is decided behind it
    assert bare.source == "none"
    bare.press("Escape")
    assert not bare.page.get_by_role("dialog", name="Keys").is_visible()
    bare.press("w")
    assert bare.source == "draft"


# Language


def test_the_view_speaks_the_language_of_the_texts_it_gets(page):
    made = Bare(page, texts=texts("zh").table, suggestions={0: BOX}).shown(0)
    words = made.root.inner_text()
    for text in ("保存，下一张", "第 1 张，共 6 张", "已完成 0 · 剩余 6", "建议，置信度 80 %", "全部图片"):
        assert text in words
    made.press("?")
    assert "放弃未保存的修改" in made.root.locator(".ipr-help").inner_text()
    assert made.root.locator('[data-edge="x1"]').get_attribute("aria-label") == "左（像素）"
    assert page.errors == []
