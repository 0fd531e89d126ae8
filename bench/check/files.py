"""Writes the result of a check as Markdown for a pull request and as JUnit XML for CI, and makes a new reference."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

from bench.check.gate import Check, Finding, finished_run
from bench.files import disk_errors
from bench.report.table import markdown_text
from bench.results.rows import RD_FILE, RUN_FILE

# Most lines of the table: a comment on GitHub has room for 65,536 characters.
_MOST_LINES = 200


def markdown_page(check: Check, run: Path, reference: Path) -> str:
    """The text of a Markdown page: counts, and a table of the rows and curves that are not the same, worst first.

    Parameters
    ----------
    check
        The check.
    run, reference
        Folders of the two runs.
    """
    order = list(Finding)[::-1]
    differences = [line for line in check.lines if line.finding not in (Finding.SAME, Finding.ABSENT)]
    differences.sort(key=lambda line: (not line.finding.bad, order.index(line.finding)))
    head = f"**{len(check.failures)} worse or changed**" if check.failures else "**Nothing worse**"
    lines = [f"{head} in `{run}` than in `{reference}`: {check.counts}.", ""]
    if differences:
        lines += ["| | what | how |", "|---|---|---|"]
        lines += [
            f"| {line.finding.value} | {markdown_text(line.name)} | {markdown_text(line.detail)} |"
            for line in differences[:_MOST_LINES]
        ]
        if len(differences) > _MOST_LINES:
            lines += ["", f"And {len(differences) - _MOST_LINES} more."]
    if check.advice:
        lines += ["", "Slower, which fails nothing:", "", *(f"- {markdown_text(text)}" for text in check.advice)]
    return "\n".join(lines) + "\n"


def junit_xml(check: Check) -> str:
    """The text of a JUnit XML file: a test case for each row and curve, skipped where neither run measured the row.

    Parameters
    ----------
    check
        The check.
    """
    suite = ElementTree.Element("testsuite", name="bench check", tests=str(len(check.lines)))
    suite.set("failures", str(len(check.failures)))
    suite.set("skipped", str(check.absent))
    for line in check.lines:
        case = ElementTree.SubElement(suite, "testcase", classname="bench.check", name=line.name)
        if line.finding.bad:
            ElementTree.SubElement(case, "failure", message=f"{line.finding.value}: {line.detail}")
        elif line.finding is Finding.ABSENT:
            ElementTree.SubElement(case, "skipped", message=line.detail)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def update_reference(run: Path, reference: Path) -> None:
    """Make a run the reference: copy its rd.csv and run.json into the reference's folder, which is created if need be.

    Raises
    ------
    BenchError
        If the run is unreadable, not finished or has no measured row; the reference then stays as it is.
    """
    finished_run(run)  # raises where the run cannot be a reference
    with disk_errors(reference):
        reference.mkdir(parents=True, exist_ok=True)
        for name in (RD_FILE, RUN_FILE):
            shutil.copyfile(run / name, reference / name)
