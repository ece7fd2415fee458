"""One set of numbers: what notebooks, report page and README state about the demo shop is what was planted in it."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image

import imgprep as ip
from imgprep.cli.main import main
from imgprep.demo.faults import part_of, stock
from imgprep.demo.history import history_folder, make_history
from imgprep.demo.shop import PART, part_shop
from imgprep.outcomes.tallies import tally_flow
from imgprep.ship.run import load_runs

ROOT = Path(__file__).parents[2]
RUN = r"(\d+) lines sent to demo \(SANDBOX\): (\d+) imported, (\d+) failed"
GALLERY = (
    r"(\d+) of (\d+) images are in the gallery as sent; (\d+) with other values, (\d+) missing, "
    r"(\d+) that we did not send"
)


def sums(truth):
    """How a shop's rows end if all that can be sent is sent: refused, excluded, lines, imported."""
    ends = {
        end: sum(len(f["rows"]) for f in truth["faults"].values() if f["sent"] == end)
        for end in ("refused", "excluded")
    }
    lines = truth["rows"] - ends["excluded"]
    return {**ends, "lines": lines, "imported": lines - ends["refused"]}


@pytest.fixture(scope="module")
def whole():
    return stock()


@pytest.fixture(scope="module")
def truth(whole):
    return part_of(whole, PART).truth


@pytest.fixture(scope="module")
def ends(truth):
    return sums(truth)


@pytest.fixture(scope="module")
def story():
    return json.loads((history_folder() / "history.json").read_text(encoding="utf-8"))


def shown(name):
    """The outputs of a notebook as text."""
    (file,) = (ROOT / "notebooks").glob(f"{name}_*.ipynb")
    outputs = [output for cell in nbformat.read(file, as_version=4).cells for output in cell.get("outputs", [])]
    return "\n".join(output["text"] if "text" in output else output["data"]["text/plain"] for output in outputs)


def numbers(name, pattern):
    """The numbers of every place in a notebook that fits, once each."""
    groups = (found.groups() for found in re.finditer(pattern, shown(name), re.M))
    found = {tuple(int(text) if text.isdigit() else text for text in each) for each in groups}
    assert found, f"notebook {name} shows nothing like {pattern}"
    return found


@pytest.mark.parametrize("name", ["04", "05", "07"])
def test_every_notebook_that_ships_the_shop_ends_with_the_same_lines(name, ends):
    lines, failed = ends["lines"], ends["refused"]
    assert numbers(name, RUN) == {(lines, ends["imported"], failed)}


def test_the_quickstart_accounts_for_every_row(ends):
    assert numbers("00", r"add +new +(\d+)") == {(ends["lines"],)}
    excluded = re.findall(r"excluded +\S.*?  (\d+) +\d+$", shown("00"), re.M)
    assert sum(map(int, excluded)) == ends["excluded"]
    sentence = RUN + r"\. Failures that were foreseen: (\d+)"
    assert numbers("00", sentence) == {(ends["lines"], ends["imported"], ends["refused"], ends["refused"])}
    assert numbers("00", r"^ *(\d+) +(\d+) +0 +(\d+) +0 +\d+\.\d%") == {
        (ends["lines"], ends["imported"], ends["refused"])
    }


def test_the_quickstart_opens_with_the_errors_that_check_finds(truth):
    found = numbers("00", r"^(\d+) images of (\d+) products: (\d+) errors in (\d+) rows to correct: (.*)\.$")
    ((images, products, errors, rows, shares),) = found
    assert (images, products, rows) == (truth["names"], truth["products"], truth["rows"])
    assert sum(map(int, re.findall(r"\d+ (?=for )", shares))) == errors


def test_the_command_check_finds_the_errors_of_the_quickstart(capsys):
    shop = part_shop()
    assert main(["check", str(shop.catalogue), "--columns", str(shop.columns), "--images", str(shop.images)]) == 1
    rows, errors = re.search(r"^(\d+) rows checked: (\d+) errors", capsys.readouterr().out, re.M).groups()
    assert numbers("00", r"(\d+) errors in (\d+) rows to correct") == {(int(errors), int(rows))}


def test_failures_have_one_total_wherever_they_are_counted(ends):
    failed, lines = ends["refused"], ends["lines"]
    assert numbers("05", r"(\d+) failed lines first need a correction") == {(failed,)}
    again = numbers("05", r"(\d+) of (\d+) failed lines are worth sending again .*; (\d+) first need")
    ((corrected, all_of_them, rest),) = again
    assert all_of_them == failed == corrected + rest
    assert numbers("05", r"(\d+) lines sent to demo \(SANDBOX\): (\d+) imported$") == {(corrected, corrected)}
    assert numbers("05", r"CauseExplorer\((\d+) of (\d+) lines failed") == {(failed, lines)}
    assert re.search(r"^rule +line .*\nno rows$", shown("05"), re.M), "a failure that was not foreseen"
    assert numbers("04", GALLERY) == {(ends["imported"], ends["imported"], 0, 0, 0)}


def test_the_plan_restores_the_gallery_that_another_machine_changed(ends):
    imported = ends["imported"]
    changed, restored = sorted(numbers("07", GALLERY))
    same, of, other, missing, theirs = changed
    assert of == imported == same + other + missing and other and missing
    assert restored == (imported, imported, 0, 0, theirs)
    assert numbers("07", r"(\d+) lines sent to demo \(SANDBOX\): (\d+) imported$") == {(other + missing,) * 2}
    assert numbers("07", r"(\d+) images that we did not send stay") == {(theirs,)}


def test_the_look_shows_the_images_and_the_copies_that_were_planted(truth):
    names = {row[2] for name in ("coming-soon", "no-photo") for row in truth["faults"][name]["rows"]}
    assert numbers("01", r"of (\d+) images would be refused") == {(truth["names"],)}
    assert numbers("01", r"(\d+) groups of images are alike") == {(len(truth["copies"]) + len(names),)}


def test_the_regions_are_those_of_the_subjects_that_were_drawn(truth):
    assert numbers("02", r"RegionAnnotator\((\d+) images, 0 done") == {(truth["names"],)}
    boxes = re.findall(r"(\S+) +region +(\d+) +(\d+) +(\d+) +(\d+) +imported", shown("02"))
    assert len(boxes) >= 4
    assert all(truth["subjects"][name][:4] == [int(edge) for edge in edges] for name, *edges in boxes)


def test_the_week_after_is_the_one_that_was_planned(truth):
    later = truth["later"]
    ((before, _, new, gone),) = numbers("03", r"No alarm: (\d+) → (\d+) rows; (\d+) products new, (\d+) gone")
    assert (before, new, gone) == (truth["rows"], len(later["new"]), len(later["gone"]))
    acts = numbers("03", r"adds \d+ images, replaces (\d+), deletes (\d+)")
    assert acts == {(len(later["cheaper"]), len(later["gone"]))}


def test_the_weeks_are_those_of_the_history(story):
    lines = sum(week["lines"] for week in story["sent"]) + story["retry"]["lines"]
    outcomes = ip.tally_outcomes(load_runs(history_folder() / "runs"))
    assert outcomes["lines"].sum() == lines
    backlog = outcomes["backlog"]
    sentence = r"^(\d+) runs, .*; (\d+) open images now, (\d+) at most$"
    assert numbers("06", sentence) == {(len(outcomes), backlog.iloc[-1], backlog.max())}
    assert numbers("06", r"(\d+) images wait for a correction") == {(backlog.iloc[-1],)}
    flow = tally_flow(load_runs(history_folder() / "runs"))
    ways = dict(re.findall(r"^(\w+(?: → \w+)*) +(\d+)  \S+ \S+$", shown("06"), re.M))
    assert {way: int(count) for way, count in ways.items()} == dict(zip(flow["way"], flow["count"], strict=True))


def test_the_report_page_states_the_same(tmp_path, ends):
    (run,) = make_history(tmp_path / "runs", weeks=1)
    page = ip.write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>|\s+", " ", page)
    for end in ("lines", "imported", "refused"):
        assert re.search(rf"\b{ends[end]}\b", text), end


def test_the_readme_shows_what_the_demo_prints(whole):
    truth, ends = whole.truth, sums(whole.truth)
    with Image.open(ROOT / "docs/images/findings.png") as chart:
        title = chart.text["Title"].replace(",", "")
    errors, rows = map(int, re.match(r"(\d+) errors in (\d+) rows", title).groups())
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        steps = dict(re.findall(r"^(load|look|plan|follow)  +(.+)$", text, re.M))
        found = {
            step: [int(n.replace(",", "")) for n in re.findall(r"\b\d[\d,]*", line)] for step, line in steps.items()
        }
        assert found["load"] == [truth["records"], truth["products"], truth["rows"]]
        assert found["look"][:2] == [truth["names"], errors] and rows == truth["rows"]
        assert found["plan"] == [ends["lines"], ends["refused"], ends["excluded"]]
        assert found["follow"] == [ends["lines"], ends["imported"], ends["refused"]]
