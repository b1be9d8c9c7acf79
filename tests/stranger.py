"""`make stranger`: the path of a newcomer, in a fresh clone of the last commit and an environment of its own.

The two commands of the README, the tutorial typed line by line, broken rule files with their diagnostics, and the
report of the demonstration in a browser. Each step is printed with its time; the first that fails ends the script.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 60
"""The time that `make demo` may take once the environment exists."""

SUBSET = "tests/test_version.py tests/end_to_end/test_broken_rule_files.py tests/end_to_end/test_mistakes.py"
TUTORIAL = "tests/docs/test_pages.py -k tutorial -m ''"  # in the sample or not
_KEPT = re.compile(r"HOME|LANG|LC_ALL|PATH|TMPDIR|CI|PIP_\w+|SSL_\w+|\w+_proxy", re.IGNORECASE)
"""The variables of the environment that a newcomer has too; nothing points to this checkout."""


def step(title: str, clone: Path, *command: str) -> tuple[str, float]:
    """Runs a step; returns what it prints, and its seconds."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=clone, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds = time.monotonic() - started
    print(f"{seconds:6.1f} s  {title}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nexit code {done.returncode}: {' '.join(command)}")
    return done.stdout, seconds


def promised_commands() -> list[str]:
    """Returns the commands that the README promises for a fresh machine."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^make (\w+) +#", readme, re.MULTILINE)


def look_at(report: Path) -> None:
    """Opens a report in Chromium and waits until its script has drawn it."""
    browser = shutil.which("chromium")
    if browser is None:
        if os.environ.get("CI"):
            sys.exit("Chromium is missing: `apt-get install chromium`")
        print("           the report is not opened: Chromium is not installed")
        return
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom")
    page, _ = step("the report in a browser", report.parent, browser, *options, report.as_uri())
    if 'data-ready="yes"' not in page:
        sys.exit("the report is not drawn")


def main() -> None:
    """Walks the path; exits with 1 where it breaks off."""
    assert ["demo", "test"] == promised_commands()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "migrate")
        step("a fresh clone", Path(folder), "git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(clone))
        step("make demo, which creates the environment", clone, "make", "demo")
        printed, seconds = step("make demo again", clone, "make", "demo")
        if seconds > MOST_SECONDS:
            sys.exit(f"`make demo` takes more than {MOST_SECONDS} s")
        (shown,) = re.findall(r"for a browser: file://(\S+)", printed)
        look_at(Path(shown))
        step("make test, in part: broken rule files", clone, "make", "test", f"TESTS={SUBSET}")
        step("the tutorial, line by line", clone, "make", "test", f"TESTS={TUTORIAL}")
        step("the wheel and the source distribution", clone, "make", "matrix", "TESTS=tests/test_packaging.py")


if __name__ == "__main__":
    main()
