"""From a file to findings: each rule counts the faults put in, and nothing beside them; no rule is left out."""

from bench.checks import FAULTS, make_csv
from bench.predictions import KINDS, NOT_SEEDED
from imgprep.load.catalogue import load_catalogue
from imgprep.look.rules.book import RULES, check, tally_rules


def test_every_rule_is_among_the_faults_that_are_shipped_or_says_why_not():
    assert {kind.rule for kind in KINDS} - {""} == {rule.id for rule in RULES} - NOT_SEEDED.keys()


def test_each_rule_finds_the_faults_that_were_seeded_in_their_rows_and_no_others(tmp_path):
    path = tmp_path / "catalogue.csv"
    seeded = make_csv(path, 6_000)
    found = check(load_catalogue(path))
    found = found[found["severity"] == "error"]  # that a name with a slash has a folder as well is a note
    assert found["rule"].value_counts().to_dict() == seeded
    # Every hundredth row from the 51st on, the kinds in turn.
    kinds = list(FAULTS)
    assert len(kinds) == 15
    wanted = [(kinds[place % 15], 100 * place + 51) for place in range(60)]
    assert list(zip(found["rule"], found["row"], strict=True)) == wanted
    assert tally_rules(found)["rows"].sum() == 60


def test_a_file_made_in_pieces_is_the_file_made_at_once(tmp_path):
    once, pieces = tmp_path / "once.csv", tmp_path / "pieces.csv"
    make_csv(once, 3_000)
    for first in (0, 1_000, 2_000):
        make_csv(pieces, 1_000, first=first)
    assert once.read_bytes() == pieces.read_bytes()
