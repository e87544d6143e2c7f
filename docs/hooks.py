"""Pages of the site that lie outside of docs/, and links to and from them.

Every document links to others by its own place in the repository. On the site docs/ is the root:
the README is its front page, and the kept results stand beside the pages.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FRONT = {"README.md": "index.md"}
ALONGSIDE = ["CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"]
REQUEST = re.compile(r'<(?:script|img|link)[^>]*(?:src|href)="?https?://[^>]*>')
LINK = re.compile(r"(\]\()([^)#:\s]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside of docs/."""
    root = Path(config.docs_dir).parent
    kept = [path.relative_to(root).as_posix() for path in root.glob("results/**/*.md")]
    for place in (*FRONT, *ALONGSIDE, *kept):
        files.append(File.generated(config, FRONT.get(place, place), abs_src_path=root / place))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead every link to where its document stands on the site."""
    root = Path(config.docs_dir).parent
    here = Path(page.file.abs_src_path or "").relative_to(root).parent.as_posix()

    def moved(link: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(here, link[2])).removeprefix("docs/")
        place = FRONT.get(place, place)
        return link[1] + posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(moved, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that makes its reader's browser ask another server for something."""
    if found := REQUEST.search(output):
        raise PluginError(f"{page.file.src_uri}: {found[0]}; expected a site that needs no network")
    return output
