from migrate.codes import IdlePattern, IgnoredFiles, UnfilledTarget
from migrate.errors import Span
from migrate.report.github import draw
from migrate.report.view import Report, findings


def test_annotations_name_file_and_line_and_escape_what_github_would_take_apart():
    found = findings([IdlePattern.at("100% nothing\nat all", span=Span("a,b:c.yaml", 3, 5, 3, 9), help="look")])
    assert (
        "::error file=a%2Cb%3Ac.yaml,line=3,endLine=3,col=5,endColumn=9,title=M201::"
        "100%25 nothing\\nat all%0Ahelp: look\n" == draw(Report("check", findings=found))
    )


def test_notes_are_notices():
    assert draw(Report("check", findings=findings([IgnoredFiles.at("ignored")]))).startswith("::notice title=M407::")


def test_an_annotation_lists_at_most_twenty_key_paths():
    found = findings([UnfilledTarget.at("30 leaves are never written", paths=[f"p/{i}" for i in range(30)])])
    (annotation,) = draw(Report("check", findings=found)).splitlines()
    assert [f"p/{i}" for i in range(20)] == annotation.split("%0A")[1:]
