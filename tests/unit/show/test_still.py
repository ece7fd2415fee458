"""Saved notebooks show a picture of each panel: what the panel shows, escaped, and no part that is hidden."""

import sys
from pathlib import Path

import ipywidgets as w
import pandas as pd
import pytest

import imgprep as ip
from imgprep.core.findings import findings_frame
from imgprep.draw.annotator import images
from imgprep.images.thumbnails import Thumb
from imgprep.look.cards import CardGrid, card
from imgprep.show.still import LeavesPicture, still_html

sys.path.insert(0, str(Path(__file__).parents[1]))
from images_made import photo

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("a.jpg", "b.jpg"):
        photo().save(folder / name)
    return folder


def bundle(panel):
    """What a notebook stores when the panel is displayed."""
    found = panel._repr_mimebundle_()
    assert set(found) == {VIEW, "text/plain", "text/html"}
    assert found["text/plain"] == repr(panel)
    return found["text/html"]


def test_controls_are_shown_as_they_are_set():
    parts = [
        w.Select(options=["one", "two"], value="two"),
        w.Dropdown(options=[("first choice", 1), ("other choice", 2)], description="of these"),
        w.Text(placeholder="type here"),
        w.FloatText(2.5, description="times"),
        w.Checkbox(value=True, description="every line"),
        w.Button(description="go on"),
        w.IntProgress(value=3, max=7, description="done"),
        w.Image(value=b"\xff\xd8", format="jpeg"),
    ]
    html = still_html(w.VBox([w.HBox(parts[:4]), *parts[4:]]))
    assert '<div class="ips-chosen">two</div>' in html and "<div>one</div>" in html
    assert "of these <b>first choice</b>" in html and "other choice" not in html
    others = ("type here", "times <b>2.5</b>", "☑ every line", "go on", 'value="3" max="7"', "image/jpeg;base64,/9g=")
    assert [text for text in others if text not in html] == []


def test_texts_of_findings_are_wrapped_and_not_cut(folder):
    name, message = f"{'long-' * 40}name.jpg", "the reason goes on " * 15 + "to its end"
    found = {"rule": "image-unreadable", "severity": "error", "row": 1, "ProductId": "P" * 90, "PicName": name}
    panel = ip.FindingsBrowser(findings_frame([{**found, "message": message}]), folder)
    html = bundle(panel)
    assert "…" not in html
    assert all(text in html for text in (name, message, "P" * 90)) and message in panel._grid.cards[0]["note"]


def test_what_is_hidden_or_empty_is_left_out():
    hidden = w.HTML("a secret", layout=w.Layout(display="none"))
    html = still_html(w.VBox([hidden, w.HTML(""), w.Button(icon="x"), w.VBox([w.VBox()])]))
    assert "secret" not in html and 'ips-button"' not in html and html.count('ips-column"') == 0


def test_text_is_escaped():
    grid = CardGrid()
    grid.show([card(0, name="<img src=x>", title="<b>", note="<script>", thumb=Thumb(why="<i>"))])
    html = still_html(w.VBox([grid, w.Select(options=["<script>"]), w.Text("<script>"), w.Button(description="<u>")]))
    assert not any(tag in html for tag in ("<script>", "<img src=x>", "<i>", "<u>"))


def test_text_and_selection_get_their_background_from_the_theme_that_colours_them():
    css = still_html(w.Select(options=["one"])).partition("</style>")[0]
    rules = {name: body for line in css.splitlines() for name, _, body in [line.partition("{")]}
    panel, chosen = rules[".imgprep-still"], rules[".imgprep-still .ips-list .ips-chosen"]
    assert "color:var(--jp-ui-font-color1,#1f2328);background:var(--jp-layout-color1,#fff)" in panel
    assert "var(--jp-layout-color1,#fff)" in chosen and "brand-color3" not in css  # pale in the dark theme too


def test_long_lists_are_cut_and_counted():
    assert "25 more" in still_html(w.Select(options=[str(n) for n in range(40)]))


def test_a_panel_of_widgets_leaves_a_picture_without_a_helper_of_its_own():
    class Panel(LeavesPicture, w.VBox):
        def __repr__(self):
            return "Panel()"

    assert "in it" in bundle(Panel([w.HTML("in it")]))


def test_the_findings_browser_leaves_its_page(folder):
    found = findings_frame(
        [{"rule": "image-small", "severity": "error", "PicName": name, "message": f"{name} is small"} for name in "ab"]
    )
    html = bundle(ip.FindingsBrowser(found, folder))
    assert "image-small · 2" in html and "a is small" in html


def test_the_match_panel_leaves_its_files_and_offers(folder):
    catalogue = pd.DataFrame({"ProductId": ["P-1", "P-2"], "title": ["A cup", "A bowl"]})
    html = bundle(ip.MatchPanel(ip.match_files(folder, catalogue), folder, catalogue))
    assert "a.jpg" in html and "data:image/jpeg" in html


def test_the_mapping_panel_leaves_its_choices(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text("sku,image,title\n1,a.jpg,Cup\n2,b.jpg,Bowl\n", encoding="utf-8")
    html = bundle(ip.MappingPanel(file))
    assert "ProductId <b>sku</b>" in html and "Bowl" in html


def test_the_annotator_leaves_the_boxes_of_the_images_it_opens_with(folder, tmp_path):
    with ip.RegionStore(tmp_path / "a.db", who="Ann") as store, ip.RegionStore(tmp_path / "b.db", who="Bo") as other:
        store.put("a.jpg", ip.Region(x1=5, y1=5, x2=100, y2=100), size=(240, 180))
        annotator = ip.RegionAnnotator(["a.jpg", "b.jpg", "gone.jpg"], folder, store)
        html = bundle(annotator)
        assert "3 images, 1 done" in html and "region, drawn by Ann" in html
        assert "suggestion, confidence" in html and "gone.jpg" in html
        annotator.close()
        other.put("a.jpg", None, state="whole")
        store.merge(other)
        conflict = ip.RegionAnnotator(["a.jpg", "b.jpg"], folder, store, show="conflict")
        html = bundle(conflict)
        assert "Ann: region" in html and "Bo: whole image" in html and "b.jpg" not in html
        conflict.close()


def test_only_the_box_of_a_suggestion_is_dashed(folder, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(images, "thumb_of", lambda name, *_, dashed, **__: seen.update({name: dashed}) or Thumb())
    with ip.RegionStore(tmp_path / "a.db", who="Ann") as store:
        store.put("a.jpg", ip.Region(x1=5, y1=5, x2=100, y2=100), size=(240, 180))
        annotator = ip.RegionAnnotator(["a.jpg", "b.jpg"], folder, store)
        bundle(annotator)
        annotator.close()
    assert seen == {"a.jpg": False, "b.jpg": True}


def test_an_empty_filter_leaves_a_sentence(folder, tmp_path):
    with ip.RegionStore(tmp_path / "a.db") as store:
        annotator = ip.RegionAnnotator(["a.jpg"], folder, store, suggest=False, show="flagged")
        assert "No image matches the filter" in bundle(annotator)
        annotator.close()
