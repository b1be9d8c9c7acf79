"""Tables in Markdown, and amounts in them."""


def amount(count):
    """Bytes with their unit."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def table(head, rows):
    """A Markdown table whose columns after the first are right-aligned; empty without rows."""
    if not rows:
        return ""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])
