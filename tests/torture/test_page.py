"""The page of the attacks: an attack that is run alone replaces its own row and keeps the others."""

from collections import Counter
from types import SimpleNamespace

from tests.torture import page
from tests.torture.framework import Outcome, Result, Tally

ORDER = ("kills", "flips")
CHOSEN = SimpleNamespace(seed=0, scale=1)


def attack(name):
    return SimpleNamespace(name=name, title=f"attack of {name}")


def test_rows_of_attacks_that_do_not_run_are_kept_in_their_order(tmp_path):
    place = tmp_path / "page.md"
    finding = Result(Outcome.FOUND, "wrong", "python -m it")
    page.write(place, [(attack("flips"), Tally(3, [finding], kinds=Counter(equal=2), seconds=60))], CHOSEN, ORDER)
    first = place.read_text()
    assert "| attack of flips | 3 | 2 | 1 | 0 | 1.0 |" in first
    assert "- `python -m it`: wrong" in first
    page.write(place, [(attack("kills"), Tally(5))], CHOSEN, ORDER)
    second = place.read_text()
    assert second.index("| attack of kills | 5 | 5 | 0 |") < second.index("| attack of flips | 3 | 2 | 1 |")
    assert "attack of flips: 2 equal." in second
    assert "| all | 8 | 7 | 1 | 0 | 1.0 |" in second
    page.write(place, [(attack("flips"), Tally(3))], CHOSEN, ORDER)
    assert "Nothing was found." in place.read_text()
