"""What `docs/check.md` shows is what the command prints, and what it shows as a policy is one."""

import re
import tomllib
from pathlib import Path

from migrate.codes import RoundedLeaves, StepWithoutInverse, UnprobedLeaves, UnrecoverableDrop
from migrate.errors import Code

PAGE = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
GOLDEN = Path(__file__).parents[1] / "golden" / "cli" / "check_folder"


def test_a_folder_in_order():
    assert f"$ migrate check rules/\n{(GOLDEN / 'good.txt').read_text()}```" in PAGE


def test_the_error_of_a_model_that_is_not_released():
    shown = re.search(r"^error\[M617\].*?(?=^```)", PAGE, re.M | re.S)
    assert shown[0] in (GOLDEN / "draft.txt").read_text()


def test_the_policy_is_one(run, here):
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    assert {"error", "allow", "per-file", "per-leaf"} == tomllib.loads(text)["tool"]["migrate"].keys()
    Path("rules").mkdir()
    Path("rules/0003_scan.yaml").touch()
    Path("rules.yaml").write_text("migrate: 1\nrules: []\n")
    Path("pyproject.toml").write_text(text)
    assert "M616" not in run("check", "rules.yaml").stdout


def test_the_page_lists_the_lints_and_their_severity():
    assert "| lints: see below | M608, M609, M610, M611 | warning |" in PAGE
    lints = (UnrecoverableDrop, RoundedLeaves, UnprobedLeaves, StepWithoutInverse)
    assert {"warning"} == {Code.registry[code.number].severity for code in lints}
    assert all(re.search(rf"^\| {code.number} \| ", PAGE, re.M) for code in lints)
