"""Planted faults of a gallery are found by searching it, each with its reason; `tests/proof` plants more of them."""

import json

import pandas as pd
import pytest

from imgprep.cli.main import main
from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import ConfigError
from imgprep.core.regions import Region
from imgprep.outcomes.asking import SANDBOX_NOTE
from imgprep.outcomes.findability import findability
from imgprep.outcomes.what_if import what_if
from imgprep.sandbox.sandbox import Sandbox
from imgprep.show.charts.findability import plot_findability
from imgprep.show.contact_sheet import contact_sheet
from tests.gallery_made import BOX, blank, planted, reasons, shipped, view
from tests.wire.shipping import FakeClock


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Sixty images: two products with a category, three swapped regions, two pairs of twins, two blank, one lost."""
    rows, pictures, expected = planted(60, categories=2, swapped=3, twins=2, blanks=2)
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        run, settings = shipped(sandbox, tmp_path_factory.mktemp("shop"), rows, pictures)
        lost = rows[-1]["ProductId"], rows[-1]["PicName"]
        sandbox.lose(*lost)
        yield sandbox, run, settings, {**expected, lost: "not in the gallery"}


@pytest.fixture(scope="module")
def found(gallery):
    _, run, settings, _ = gallery
    return findability(run, settings, sample=1000, progress=False, clock=FakeClock())


def test_each_planted_fault_is_reported_with_its_reason_and_nothing_else_is(gallery, found):
    assert reasons(found) == gallery[3]
    assert found.meaningful and found.problems["remedy"].str.len().gt(20).all()


def test_an_interrupted_search_asks_only_the_rest_when_it_is_repeated(gallery, monkeypatch):
    _, run, settings, _ = gallery
    asked, search = [], ImageSearch.search_by_name

    def interrupted(self, product, name, **options):
        if len(asked) == 9:
            raise KeyboardInterrupt
        asked.append((product, name, options.get("category")))
        return search(self, product, name, **options)

    monkeypatch.setattr(ImageSearch, "search_by_name", interrupted)
    with pytest.raises(KeyboardInterrupt):
        findability(run, settings, sample=20, progress=False, clock=FakeClock())
    first, asked[:] = list(asked), []
    monkeypatch.setattr(
        ImageSearch, "search_by_name", lambda *args, **options: asked.append(args[1:]) or search(*args, **options)
    )
    resumed = findability(run, settings, sample=20, progress=False, clock=FakeClock())
    answered = {key[:2] for key in first}
    assert len(answered) >= 8 and len(answered & {key[:2] for key in asked}) <= 1, "only an image cut off in the middle"
    asked.clear()
    again = findability(run, settings, sample=20, progress=False, clock=FakeClock())
    assert len(asked) >= len(again.images), "a finished search is not an answer for later ones"
    pd.testing.assert_frame_equal(again.images, resumed.images)


def test_a_random_ranking_gets_no_reason(gallery):
    sandbox, run, settings, _ = gallery
    sandbox.imagesearch.switch(shuffled=True)
    try:
        random = findability(run, settings, sample=1000, progress=False, clock=FakeClock())
    finally:
        sandbox.imagesearch.switch(shuffled=False)
    assert not random.meaningful and "no better than chance" in random.sentence
    assert random.images["problem"].mean() > 0.5
    # That an image is not there is no matter of the ranking.
    assert set(random.problems["reason"]) == {"", "not in the gallery"}


def test_the_pairs_that_are_confused_are_the_twins(found):
    pairs = found.pairs[found.pairs["reason"] == "near-duplicate product"]
    assert {tuple(pair) for pair in pairs[["ProductId", "other"]].values} == {
        ("T0A", "T0B"), ("T0B", "T0A"), ("T1A", "T1B"), ("T1B", "T1A"),
    }  # fmt: skip
    assert pairs["times"].tolist() == [2] * 4


def test_the_shares_are_told_by_category_region_and_column(found):
    by = found.by("CategoryId").set_index("value")
    assert (by.loc["3", "first"], by.loc["3", "first_category"], by.loc["(none)", "problems"]) == (0.0, 1.0, 14)
    assert set(found.by("region")["value"]) == {"region", "service"}
    assert found.by("brand").set_index("value")["images"].to_dict() == {"P": 52, "T": 8}
    assert len(found.by("brightness")) <= 4
    assert found.sentence.startswith(
        "51 of 60 images (85%) find themselves first, 59 if the search names their category"
    )
    with pytest.raises(ConfigError, match="no column 'x'"):
        found.by("x")


def test_whoever_reads_it_learns_that_a_sandbox_was_searched(found):
    assert SANDBOX_NOTE in repr(found) and found.note == SANDBOX_NOTE


def test_a_sample_takes_whole_products_of_every_group(gallery):
    _, run, settings, _ = gallery
    found = findability(run, settings, sample=8, by="brand", progress=False, clock=FakeClock())
    assert set(found.images["brand"]) == {"P", "T"} and len(found.images) <= 11
    sizes = found.images["ProductId"].value_counts()
    assert all(sizes[product] == (2 if product[0] == "T" else 4) for product in sizes.index)
    with pytest.raises(ConfigError, match="by='colour' is not a column"):
        findability(run, settings, by="colour", progress=False, clock=FakeClock())


def test_many_requests_are_confirmed_first(gallery, monkeypatch):
    sandbox, run, settings, _ = gallery
    monkeypatch.setattr("imgprep.outcomes.asking.MANY", 10)
    sandbox.imagesearch.calls.clear()
    with pytest.raises(ConfigError, match=r"68 requests, at least 14 seconds at 5 per second.*confirm"):
        findability(run, settings, sample=1000, progress=False, clock=FakeClock())
    assert {call.action for call in sandbox.calls} == {"Detail"}


def test_a_region_is_compared_with_the_services_own_before_anything_is_sent(gallery, tmp_path):
    sandbox, _, settings, _ = gallery
    for name, product in {"new-1.jpg": 20, "new-2.jpg": 21}.items():
        (tmp_path / name).write_bytes(view(product, 5))
    (tmp_path / "small.jpg").write_bytes(blank()[:200])
    x1, y1, x2, y2 = (edge + 10 for edge in BOX)
    right, corner = Region(x1=x1, y1=y1, x2=x2, y2=y2), Region(x1=0, y1=0, x2=40, y2=40)
    images = pd.DataFrame({"ProductId": "P3", "PicName": ["new-1.jpg", "new-2.jpg", "small.jpg"]})
    held = {image["ProductId"] for image in sandbox.gallery()}
    found = what_if(
        images,
        tmp_path,
        settings,
        regions={"new-1.jpg": right, "new-2.jpg": corner},
        progress=False,
        clock=FakeClock(),
    ).set_index("PicName")
    assert found.loc["new-1.jpg", "iou"] > 0.9 and found.loc["new-2.jpg", "iou"] < 0.1
    assert found.loc["new-1.jpg", "same"] > found.loc["new-2.jpg", "same"]
    assert found.loc["new-1.jpg", ["category", "subjects"]].tolist() == [1, 1]
    assert found["problem"].fillna("").tolist() == ["", "", "UnsupportedPicFormat"]
    assert found.attrs["note"] == SANDBOX_NOTE and held == {image["ProductId"] for image in sandbox.gallery()}


def test_the_worst_are_shown_with_what_is_found_instead(gallery, found):
    _, _, settings, _ = gallery
    sheet = contact_sheet(found.problems, settings.project / "batch" / "images", per_page=100)
    assert SANDBOX_NOTE in sheet.title and len(sheet.sections) == len(found.problems)
    twins = next(section for section in sheet.sections if section.title.endswith("near-duplicate product"))
    assert [card.title for card in twins.cards] == ["T0A", "found instead"] and all(
        card.thumb.data for card in twins.cards
    )


def test_the_charts_say_what_was_searched(found):
    shares = plot_findability(found, "CategoryId")
    assert shares.get_title() == "Find themselves first: 85% of the images, 98% with their category\nby CategoryId"
    dots = [collection.get_offsets()[:, 0].round().tolist() for collection in shares.collections[1:]]
    assert dots == [[98, 0], [98, 100]]
    reasons = plot_findability(found)
    assert reasons.get_title() == "Why 22 of 60 images are not found as they should be"
    assert all(SANDBOX_NOTE in ax.get_xlabel() for ax in (shares, reasons))


def test_it_is_searched_by_command(gallery, tmp_path, monkeypatch, capsys):
    sandbox, _, settings, _ = gallery
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("imgprep.core.clock.SystemClock.sleep", lambda self, seconds: None)
    where = ["--runs", str(settings.runs), "--images", str(settings.project / "batch" / "images")]
    words = [*where, "--sample", "12", "--by", "brand", "--format", "json"]
    assert main(["findability", *words, "--html", "sheet.html", "--picture", "chart.png"]) == 1
    out = capsys.readouterr()
    assert {row["value"] for row in json.loads(out.out)} == {"P", "T"}
    assert SANDBOX_NOTE in out.err and "requests, at least" in out.err
    assert (tmp_path / "sheet.html").stat().st_size > 5_000 and (tmp_path / "chart.png").stat().st_size > 5_000
    assert main(["what-if", "t0A-0.jpg", *where[2:], "--no-regions", "--format", "json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)[0]["first_service"].startswith("T0") and SANDBOX_NOTE in out.err
