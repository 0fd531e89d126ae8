"""manifest.json of a submission: who submits it, what made its run and when, and the hash of each of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError, first_fault
from bench.interfaces import ConditionCard
from bench.measure.iqa import IQA_FILE, IqaRow
from bench.measure.networks import NETWORKS_FILE, NetworkRow
from bench.measure.profile import PROFILE_FILE, ProfileRow
from bench.measure.recognition import RECOGNITION_FILE, RecognitionRow
from bench.measure.suite import SMOOTHNESS_FILE, SmoothnessRow
from bench.results.rows import CLASSES_FILE, MEASURES_FILE, RD_FILE, RUN_FILE, ClassRow, MeasureRow
from bench.results.tables import TableRow, check_text

MANIFEST_FILE = "manifest.json"
SCHEMA: Literal[1] = 1
# The tables that may lie beside rd.csv, and what a row of each is.
BESIDE: dict[str, type[TableRow]] = {
    CLASSES_FILE: ClassRow,
    MEASURES_FILE: MeasureRow,
    IQA_FILE: IqaRow,
    SMOOTHNESS_FILE: SmoothnessRow,
    RECOGNITION_FILE: RecognitionRow,
    NETWORKS_FILE: NetworkRow,
    PROFILE_FILE: ProfileRow,
}
TABLES = (RD_FILE, *BESIDE)
# Texts in the archive: each of these files must be there.
NEEDED = (RD_FILE, RUN_FILE)
CHANGES = "+changes"  # end of a commit in run.json whose code was edited

Text = Annotated[str, Field(max_length=200), AfterValidator(check_text)]
Link = Annotated[Text, Field(pattern=r"^(https?://[^\s<>\"'\\]+)?$")]


class FileFacts(BaseModel):
    """What a manifest says of one file of the archive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file.")
    size: int = Field(ge=0, description="Its size in bytes.")


class Manifest(BaseModel):
    """The content of manifest.json; docs/leaderboard.md repeats the descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(description="Version of this file; 1.")
    name: Text = Field(default="", description="Who submits: a person or project.")
    url: Link = Field(default="", description="Page of the code or paper, http or https.")
    made: Text = Field(description="When the run was started, as run.json states it.")
    suite: Text = Field(description="Version of the suite that made the run.")
    commit: Text = Field(description="Commit of the suite's checkout; empty where it was none.")
    warnings: tuple[Text, ...] = Field(description="What a reader must know of the code that made the run.")
    streams: bool = Field(description="Whether the archive holds the stream of every measured row.")
    files: dict[str, FileFacts] = Field(description="SHA-256 and size of every other file of the archive.")

    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1) + "\n"


def parse_manifest(data: bytes, place: str) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    place
        The archive's name, for messages.

    Raises
    ------
    BenchError
        If it is not a manifest of this version.
    """
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BenchError(f"{place}: {MANIFEST_FILE}: {first_fault(error)}") from None


def stated_facts(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of a manifest that follow from run.json (`bench.results.document.read_run_file`)."""
    last = document["provenance"][-1]
    return {
        "made": str(last.get("started", "")),
        "suite": last["suite"],
        "commit": last["git_commit"],
        "warnings": tuple(_warnings(document)),
    }


def _warnings(document: dict[str, Any]) -> list[str]:
    """One line for each reason why the stated version of the suite alone may not make the run again."""
    commits = list(dict.fromkeys(facts["git_commit"] for facts in document["provenance"]))
    lines = [
        f"the code had uncommitted changes after commit {commit.removesuffix(CHANGES)[:12]}"
        for commit in commits
        if commit.endswith(CHANGES)
    ]
    if "" in commits:
        lines.append("the commit of the code is not known")
    if len(commits) > 1:
        lines.append(f"the run was made in parts, with {len(commits)} versions of the code")
    own = sorted(
        f"{kind}: {name}"
        for kind, named in document["origins"].items()
        for name, spec in named.items()
        if ".py:" in spec
    )
    return lines + [f"of a file that no package has: {name}"[:200] for name in own]


def cards_of(document: dict[str, Any]) -> dict[str, ConditionCard]:
    """The condition cards of run.json, by the ids that it gives them."""
    return {name: ConditionCard.model_validate(card) for name, card in document["conditions"].items()}


def member_path(folder: Path, name: str) -> Path:
    """Where a file of an archive lies in a folder. The name must be one that an archive may hold."""
    return folder.joinpath(*name.split("/"))
