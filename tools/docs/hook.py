"""Hook of MkDocs: puts tables made from code into pages, and pages of other folders into the site.

A runbook lies beside the alerts that name it, and a contributor looks for CONTRIBUTING.md at the
top: these files stay where they are, and are pages all the same.
"""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.docs.tables import ROOT, TABLES

PAGES = {
    "how-to/kubernetes.md": "k8s/README.md",
    "how-to/monitoring.md": "observability/README.md",
    "how-to/runbook.md": "observability/RUNBOOK.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
_MADE = re.compile(r"^<!-- made from code: (.+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie elsewhere."""
    for uri, source in PAGES.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=content.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replaces each line that asks for a table."""
    return _MADE.sub(lambda found: _table(found[1], page.file.src_uri), markdown)


def _table(name: str, uri: str) -> str:
    if name not in TABLES:
        raise PluginError(f"{uri}: no table {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name]()
