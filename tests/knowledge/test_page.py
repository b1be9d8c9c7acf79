from docs.layers import PAGE, page
from migrate.knowledge.layers import LAYERS


def test_the_page_says_what_the_table_says():
    assert page() == PAGE.read_text(encoding="utf-8"), "run `python -m docs.layers` to write the page"


def test_the_page_has_a_line_for_every_row():
    assert len(LAYERS) == sum(line.count("| `" + row.nnx + "` |") for row in LAYERS for line in lines_of(row))


def lines_of(row):
    linen = " or ".join(f"`{name}`" for name in row.linen)
    return [line for line in page().splitlines() if line.startswith(f"| {linen} | `{row.nnx}` |")]
