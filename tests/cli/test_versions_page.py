"""What `docs/versions.md` shows is what the commands print."""

import re
from pathlib import Path

STEP = "migrate: 1\nsource: {{model: lm, version: {0}}}\ntarget: {{model: lm, version: {1}}}\nrules: []\n"
PAGE = Path(__file__).parents[2] / "docs" / "versions.md"


def test_the_drawing_of_two_newest_versions(run, here):
    shown = re.search(r"^error\[M603\].*?(?=^```)", PAGE.read_text(), re.M | re.S)
    Path("rules").mkdir()
    for name, before, after in (("0002_rename", 1, 2), ("0003_scan", 2, 3), ("0003_split", 2, 4)):
        Path(f"rules/{name}.yaml").write_text(STEP.format(before, after))
    result = run("upgrade", "rules/", "old.msgpack", "new", "--from", "1")

    assert 1 == result.exit_code
    assert result.stderr.startswith(shown[0])
