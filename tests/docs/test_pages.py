"""Every command that a page shows does what the page says: covers `tests.docs.pages`."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Command, agrees, read_page, rewritten, run_page

DOCS = ROOT / "docs"
FOLDERS = ("explanation", "how-to", "tutorial")
PAGES = sorted(page for folder in FOLDERS for page in DOCS.glob(f"{folder}/*.md") if read_page(page).steps)
QUICK = ("how-to/ci.md", "how-to/rename.md")
"""The pages of the sample: they have files, setups and exit codes, and no command of them imports JAX."""


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


CASES = [
    pytest.param(page, marks=() if name_of(page) in QUICK else pytest.mark.matrix, id=name_of(page)) for page in PAGES
]


@pytest.mark.parametrize("path", CASES)
def test_a_page_shows_what_its_commands_print(path: Path, tmp_path: Path, request: pytest.FixtureRequest):
    page = read_page(path)
    ran = run_page(page, tmp_path)
    if request.config.getoption("--update-golden"):
        path.write_text(rewritten(page, ran), encoding="utf-8")
        page = read_page(path)
        ran = [(command, printed, code) for command, (_, printed, code) in zip(page.commands, ran, strict=True)]
    for command, printed, code in ran:
        assert command.exit_code == code, f"$ {command.text}\n{printed}"
        if command.output is not None:
            assert agrees(command.output, printed), (
                f"$ {command.text}\n--- shown\n{command.output}\n--- printed\n{printed}"
            )


SAMPLE = """\
<!-- setup: printf 'one\\n' > old -->

```python
# maker.py
print("made in 3.2 s")
```

```console
$ cat old
one
$ python maker.py
made in 0.1 s
```

<!-- exit: 1 -->
```console
$ test -f \\
>   new
```

<!-- not run: it needs a bucket -->
```console
$ gsutil ls
```
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    page = tmp_path / "page.md"
    page.write_text(SAMPLE)
    return page


def test_files_commands_outputs_and_exit_codes_of_a_page_are_read(sample: Path):
    steps = read_page(sample).steps
    assert [
        Command("printf 'one\\n' > old", None),
        ("maker.py", '# maker.py\nprint("made in 3.2 s")\n'),
        Command("cat old", "one\n"),
        Command("python maker.py", "made in 0.1 s\n"),
        Command("test -f \\\n  new", "", 1),
    ] == steps


def test_a_page_runs_in_one_shell_and_returns_what_it_printed(sample: Path, tmp_path: Path):
    folder = tmp_path / "empty"
    folder.mkdir()
    ran = run_page(read_page(sample), folder)
    assert ["", "one\n", "made in 3.2 s\n", ""] == [printed for _, printed, _ in ran]
    assert [0, 0, 0, 1] == [code for *_, code in ran]


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("Verified 12 leaves in 0.3 s.", "Verified 12 leaves in 14 s.", True),
        ("Verified 12 leaves.", "Verified 13 leaves.", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nb\nc\n", False),
        ("digest sha256:…", "digest sha256:1234", True),
        ("one line", "one line\nand another", False),
    ],
)
def test_an_output_agrees_but_for_times_and_dots(shown: str, printed: str, expected: bool):
    assert expected is agrees(shown, printed)


def test_an_output_that_differs_is_replaced_in_the_page(sample: Path, tmp_path: Path):
    sample.write_text(SAMPLE.replace("\none\n$", "\ntwo\n$"))
    folder = tmp_path / "empty"
    folder.mkdir()
    page = read_page(sample)
    assert rewritten(page, run_page(page, folder)) == SAMPLE
