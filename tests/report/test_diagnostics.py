from migrate.codes import IdlePattern, IgnoredFiles, InvalidOpField, UnfilledTarget
from migrate.errors import Span
from migrate.report.diagnostics import draw_findings
from migrate.report.layout import Layout
from migrate.report.view import findings

TEXT = """\
migrate: 1
rules:
  - from: params/head/kernel
    to: head/kernel
    ops:
      - transpose:
\t    perms: [1, 0]
"""


def text_of(file):
    return TEXT if file == "rules.yaml" else None


PERMS = InvalidOpField.at(
    "`transpose` has no field `perms`", span=Span("rules.yaml", 7, 6, 7, 11), label="did you mean `perm`?"
)


def test_findings_are_drawn_as_compilers_draw_them(golden):
    found = [
        PERMS,
        IdlePattern.at(
            "this rule matches nothing",
            span=Span("rules.yaml", 3, 11, 4, 3),
            help="`migrate inspect SRC` lists key paths",
        ),
        UnfilledTarget.at("2 leaves are never written", paths=["head/bias", "head/scale"]),
        IgnoredFiles.at("`notes.pkl` was ignored"),
    ]
    golden("report/findings.txt", draw_findings(findings(found, text_of)))


def test_findings_in_a_file_that_cannot_be_read_still_name_their_place():
    drawn = draw_findings(findings([PERMS]))
    assert " --> rules.yaml:7:6\n" in drawn
    assert "^" not in drawn
    assert drawn.endswith("Found 1 error in rules.yaml.\n")


def test_a_place_beyond_the_end_of_the_file_is_no_reason_to_fail():
    assert "M103" in draw_findings(findings([InvalidOpField.at("x", span=Span("rules.yaml", 99, 1, 99, 2))], text_of))


def test_many_key_paths_are_collapsed_until_asked_for():
    found = findings(
        [UnfilledTarget.at("never written", paths=[f"p/{i}/{name}" for i in range(30) for name in ("a", "b")])]
    )
    assert "  |   p/{0..29}/{a,b}\n" in draw_findings(found)
    assert "  p/29/b\n" in draw_findings(found, verbose=True)


def test_many_lines_of_key_paths_are_counted_until_asked_for():
    words = [f"{a}{b}/{b}{a}" for a in "abcdef" for b in "vwxyz"]
    found = findings([UnfilledTarget.at("never written", paths=words)])
    assert "  dz/zd\n" in draw_findings(found)
    assert "  ev/ve\n" not in draw_findings(found)
    assert "… 10 more (-v lists them)" in draw_findings(found)
    assert "  fz/zf\n" in draw_findings(found, verbose=True)


def test_many_findings_of_one_code_are_counted_until_asked_for():
    found = findings([*(UnfilledTarget.at(f"leaf {i} is never written") for i in range(25)), PERMS])
    assert "… 5 more M204 (-v lists them)" in draw_findings(found)
    assert "Found 26 errors." in draw_findings(found)
    assert "leaf 24 is never written" in draw_findings(found, verbose=True)
    assert "`perms`" in draw_findings(found)


def test_nothing_found_draws_nothing():
    assert "" == draw_findings(())


def test_notes_are_no_errors():
    assert "Found" not in draw_findings(findings([IgnoredFiles.at("ignored")]))


def test_a_finding_that_came_twice_is_drawn_once():
    assert 1 == len(findings([PERMS, PERMS]))


def test_listed_key_paths_are_broken_between_segments():
    path = "optimizer/opt_state/0/mu/{convs/{0..1}/kernel,norms/{0..1}/{bias,scale}}"
    drawn = draw_findings(findings([UnfilledTarget.at("2 leaves", paths=[path])]), layout=Layout(40)).splitlines()
    listed = [line for line in drawn if line.startswith("  |   ")]
    assert path == "".join(line.removeprefix("  |   ").strip() for line in listed)
    assert max(map(len, drawn)) <= 40
    assert all(line.endswith(("/", ",")) for line in listed[:-1])
    assert f"  |   {path}\n" in draw_findings(findings([UnfilledTarget.at("2 leaves", paths=[path])]))
