"""The leaderboard as a static site: one page, a figure for each board, and the archives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from bench.board.boards import Board, make_boards
from bench.board.entries import Refused, Submission, read_folder
from bench.files import disk_errors, whole_file, write_atomic
from bench.names import file_name
from bench.progress import Progress
from bench.report.plots import rd_plot
from bench.results.provenance import git_commit
from bench.runner.store import Store
from bench.version import __version__

INDEX = "index.html"
_ARCHIVES, _CURVES = "submissions", "curves"


def build_site(
    folder: Path, target: Path, store: Store, progress: Progress, references: Sequence[str] = ()
) -> tuple[int, int, list[Refused]]:
    """Write the site of all submissions in a folder.

    Parameters
    ----------
    target
        Folder of the site; it is created if need be.
    references
        Curves that BD-rates are against (`bench.board.boards.make_boards`).

    Returns
    -------
    Number of boards and of submissions, and the files that are on no board.

    Raises
    ------
    BenchError
        If the folder has no submission, or no board has a curve of one of `references`.
    FatalError
        If the disk is full or refuses a file.
    """
    submissions, refused = read_folder(folder, store)
    boards = make_boards(submissions, references) if submissions else []
    with disk_errors(target):
        for submission in submissions:
            place = target / _ARCHIVES / submission.archive.name
            with submission.archive.open("rb") as source, whole_file(place) as copy:
                shutil.copyfileobj(source, copy)
        for done, board in enumerate(boards):
            progress(done, len(boards), _title(board))
            if board.quality:
                (target / _CURVES).mkdir(parents=True, exist_ok=True)
                _draw(board, target / _figure(board))
        write_atomic(target / INDEX, _page(boards, submissions, refused).encode())
    return len(boards), len(submissions), refused


def _draw(board: Board, path: Path) -> None:
    assert board.quality is not None  # noqa: S101 -- by the caller
    column, measure = board.quality
    # One panel: the page shows figures beside their tables, too small for a panel for each speed class.
    rd_plot(board.table.assign(speed_class=""), board.dataset, [path], column, measure.title)


def _figure(board: Board) -> str:
    """Path of a board's figure in the site."""
    return f"{_CURVES}/{_anchor(board)}.svg"


def _anchor(board: Board) -> str:
    return file_name(*(part for part in (board.dataset, board.data, board.task, board.condition) if part))


def _title(board: Board) -> str:
    task = "" if board.task == "reconstruction" else f", {board.task}"
    data = f" (recordings {board.data})" if board.data else ""
    return f"{board.dataset}{data}{task}, {board.card['extractor']}+{board.card['analyzer']}, card {board.condition}"


def _card_words(board: Board) -> str:
    """The main rules of a condition card as one sentence."""
    card = board.card
    coding = card["coding"]
    return (
        f"{card['num_frames']} instants, {card['stride']} spike frames apart, of {card['num_spikes']} spike frames; "
        f"intra period {coding['intra_period']}, {coding['structure'].replace('_', ' ')}."
    )


def _card_lines(board: Board) -> list[tuple[str, str]]:
    """A condition card as pairs of a field and its value."""
    lines = []
    for name, value in board.card.items():
        for key, item in value.items() if isinstance(value, dict) else ((name, value),):
            lines.append((str(key).replace("_", " "), item if isinstance(item, str) else json.dumps(item)))
    return [(name, value or "none") for name, value in lines]


def _page(boards: Sequence[Board], submissions: Sequence[Submission], refused: Sequence[Refused]) -> str:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        anchor=_anchor, title=_title, figure=_figure, card_lines=_card_lines, card_words=_card_words,
        link=lambda submission: f"{_ARCHIVES}/{quote(submission.archive.name)}",
    )  # fmt: skip
    template = (resources.files("bench") / "board" / "board.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        boards=boards, submissions=submissions, refused=refused, version=__version__, commit=git_commit()[:12]
    )
