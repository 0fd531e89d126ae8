"""Makes README.md and pyproject.toml name the project's address, for a package index: it shows README.md by itself.

    python .github/published.py https://CODE.HOST/OWNER/NAME v0.1.0

Links of README.md to files of the repository become addresses, and pyproject.toml gets its table of URLs. The release
workflow does this before it builds; the files of the repository stay as they are.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A link or picture whose target is no address and no heading of the page.
_RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")


def absolute(text: str, address: str, tag: str) -> str:
    """Markdown with addresses in place of relative links; pictures get the address of the file itself."""

    def link(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        return f"{picture}[{words}]({address}/{'raw' if picture else 'blob'}/{tag}/{target})"

    return _RELATIVE.sub(link, text)


def urls(address: str, tag: str) -> str:
    """The table of URLs of pyproject.toml."""
    places = {
        "Homepage": address, "Repository": address, "Issues": f"{address}/issues",
        "Documentation": f"{address}/tree/{tag}/docs", "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
    }  # fmt: skip
    return "[project.urls]\n" + "".join(f'{name} = "{place}"\n' for name, place in places.items())


def main() -> None:
    """Rewrite both files."""
    address, tag = sys.argv[1].rstrip("/"), sys.argv[2]
    readme, project = ROOT / "README.md", ROOT / "pyproject.toml"
    readme.write_text(absolute(readme.read_text(encoding="utf-8"), address, tag), encoding="utf-8")
    text = project.read_text(encoding="utf-8")
    if "[project.urls]" in text:
        sys.exit("pyproject.toml has URLs already")
    project.write_text(
        text.replace("[project.scripts]", f"{urls(address, tag)}\n[project.scripts]", 1), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
