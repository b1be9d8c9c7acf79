"""Links of a page to files of the repository that are not pages: they lead to the repository's website."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

DOCS = Path(__file__).parents[1]
REPOSITORY = DOCS.parent


class RepositoryLinks(SphinxTransform):
    """Turns links to files that are no pages into links to the repository; runs before MyST resolves links."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        """Replaces every such link of a page by a reference to a URL."""
        del kwargs
        page = Path(self.document["source"])
        for link in list(self.document.findall(nodes.Element)):
            target = link.get("reftarget") if link.get("refdomain") in ("doc", "std", None) else None
            url = target and repository_url(page, target, self.config.repository_url)
            if url:
                link.replace_self(nodes.reference("", "", *link.children, refuri=url, internal=False))


def repository_url(page: Path, target: str, site: str) -> str | None:
    """The URL of a file or folder of the repository that no page of the site shows; None for every other target.

    Args:
      page: the file with the link.
      target: as the page writes it, relative to its folder.
      site: the URL of the repository.
    """
    name, hash_sign, anchor = target.partition("#")
    path = (page.parent / name).resolve()
    if not path.exists():
        path = path.with_name(f"{path.name}.md")  # MyST has removed the suffix of a page
    if not name or "://" in target or not path.exists() or not path.is_relative_to(REPOSITORY) or _is_shown(path):
        return None
    kind = "tree" if path.is_dir() else "blob"
    return f"{site}/{kind}/main/{path.relative_to(REPOSITORY).as_posix()}{hash_sign}{anchor}"


def _is_shown(path: Path) -> bool:
    """Whether the site has a page for it: a Markdown file below `docs/`, or a folder with a README."""
    page = path / "README.md" if path.is_dir() else path
    below = page.is_relative_to(DOCS) and not page.is_relative_to(DOCS / "examples")
    return below and page.suffix == ".md" and page.exists()


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the transform and the setting `repository_url`."""
    app.add_config_value("repository_url", "", "env", str)
    app.add_transform(RepositoryLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
