"""dat: the user's own recordings in .dat files.

``root`` is one .dat file or a folder of them. The size of a recording comes from the option ``size`` (WIDTHxHEIGHT),
from SpikeCV's ``config.yaml`` in the same folder, or from a sidecar file next to the recording, ``<name>.json``::

    {"width": 400, "height": 250, "rate": 0.6, "speed_class": "high", "truth": {"150": "truth/150.png"}}

``truth`` maps indices of spike frames to pictures of the true luminance, whose paths are relative to the sidecar. Where
nothing states the rate (spikes per frame of unit luminance), it is estimated from the recording.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import BenchError, first_fault, one_line
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, Recording, SequenceInfo
from bench.paths import listed, read_user_text, user_path
from bench.pictures import luminance, read_grey
from bench.spikes import PackedSpikes, Survey, likeness_of_rows, read_dat, survey

Model = TypeVar("Model", bound=BaseModel)

_SPIKECV = "config.yaml"
# A recording gets a remark if in another geometry the correlation of neighbouring rows is above this, and above twice
# that in the stated geometry.
_ALIKE = 0.3


@dataclass(frozen=True)
class Geometry:
    """How the bits of a recording are arranged in frames.

    Attributes
    ----------
    width, height
        Size of a frame in pixels.
    row_bits, first_bit
        See `bench.spikes.read_dat`.
    """

    width: int
    height: int
    row_bits: int = 0
    first_bit: int = 0

    def read(self, path: Path) -> PackedSpikes:
        """Memory-map a recording that has this geometry."""
        return read_dat(path, self.height, self.width, self.row_bits, self.first_bit)

    def __str__(self) -> str:
        rows = f" with rows of {self.row_bits} bits" if self.row_bits not in (0, self.width) else ""
        return f"{self.width}x{self.height}{rows}"


# Geometry of the raw dumps of known cameras. In those of sps10, 16 bits of the camera's own data follow the pixels of
# every row (SpikeCV cuts off columns 400 to 415).
CAMERAS = {"sps10": Geometry(400, 250, row_bits=416)}
Camera = Literal["", "sps10"]


class Sidecar(BaseModel):
    """The fields that a sidecar file may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    camera: Camera = ""
    row_bits: int | None = Field(default=None, ge=1)
    first_bit: int | None = Field(default=None, ge=0)
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    speed_class: Literal["", "low", "high"] = ""
    truth: dict[int, str] = Field(default_factory=dict)


class SpikeCvConfig(BaseModel):
    """The fields of SpikeCV's config.yaml that are used."""

    spike_w: int = Field(ge=1)
    spike_h: int = Field(ge=1)


class Dat(Dataset):
    """The user's recordings in .dat files; they are memory-mapped, so a file may be larger than memory."""

    name = "dat"

    class Options(ComponentOptions):
        """Options: the file or folder of recordings, and facts on them that no sidecar states.

        These are their size, or the camera whose raw dumps they are, or the number of bits of a row and the index of
        the first pixel's bit in it; and the rate in spikes per frame of unit luminance, `auto` if it is not known.
        """

        root: str = Field(exclude=True)
        """A .dat file, or a folder of them."""
        size: str = Field(default="", pattern=r"^([1-9]\d*x[1-9]\d*)?$")
        """WIDTHxHEIGHT, where no sidecar states it."""
        camera: Camera = ""
        """Camera that wrote the files as raw dumps."""
        row_bits: int | None = Field(default=None, ge=1)
        """Number of bits of a row, with what follows its pixels."""
        first_bit: int | None = Field(default=None, ge=0)
        """Index of the bit of the first pixel in a row."""
        rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
        """Spikes per frame at unit luminance; auto estimates it."""

        @field_validator("rate", mode="before")
        @classmethod
        def _auto(cls, value: object) -> object:
            return None if value == "auto" else value

    def available(self) -> Availability:
        """Whether the root exists."""
        if self._root.exists():
            return Availability(True)
        return Availability(False, reason=f"{self._root} does not exist")

    def sequences(self) -> list[SequenceInfo]:
        """All recordings in the order of their names."""
        return [self._info(path) for path in self._files()]

    def fingerprint(self, name: str) -> str:
        """Hash of the recording, its truth pictures, geometry, rate and speed class, and the code that reads them."""
        path = self._file(name)
        sidecar, geometry = self._sidecar(path), self._geometry(path)
        truths = [file_sha256(picture) for picture in _truth_files(path, sidecar).values()]
        rate, _ = self._rate(path, geometry)
        facts = [asdict(geometry), rate, sidecar.model_dump(include={"speed_class", "truth"})]
        return digest([file_sha256(path), truths, facts, code_fingerprint(__name__)])

    def open(self, name: str) -> Recording:
        """Memory-map one recording."""
        path = self._file(name)
        return _DatRecording(self._geometry(path).read(path), _truth_files(path, self._sidecar(path)))

    @property
    def _root(self) -> Path:
        return user_path(self.options.root)

    def _file(self, name: str) -> Path:
        for path in self._files():
            if path.stem == name:
                return path
        raise BenchError(f"{self._root} has no recording '{name}.dat'")

    def _files(self) -> list[Path]:
        root = self._root
        files = listed(root, (".dat",)) if root.is_dir() else [root] if root.is_file() else []
        if not files:
            raise BenchError(f"{root}: no .dat file" if root.exists() else f"{root} does not exist")
        return files

    def _sidecar(self, path: Path) -> Sidecar:
        sidecar = path.with_suffix(".json")
        return _read_json(sidecar) if sidecar.is_file() else Sidecar()

    def _stated(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """Pairs of a source and its facts on a recording; SpikeCV's file counts only if the sidecar has no size."""
        options, sidecar = self.options, self._sidecar(path)
        keys = {"width", "height", "camera", "row_bits", "first_bit", "rate"}
        yield f"{path.stem}.json", sidecar.model_dump(include=keys)
        config = path.with_name(_SPIKECV)
        if (sidecar.width, sidecar.height, sidecar.camera) == (None, None, "") and config.is_file():
            yield _SPIKECV, _read_spikecv(config)
        width, _, height = options.size.partition("x")
        size = {"width": int(width), "height": int(height)} if options.size else {}
        yield "an option", {**options.model_dump(include=keys), **size}

    def _agreed(self, path: Path) -> dict[str, Any]:
        """The facts that any source states on a recording.

        Raises
        ------
        BenchError
            If two sources contradict each other.
        """
        agreed: dict[str, tuple[Any, str]] = {}
        for source, facts in self._stated(path):
            for key, value in facts.items():
                if value in (None, ""):
                    continue
                other, said = agreed.setdefault(key, (value, source))
                if other != value:
                    raise BenchError(f"{path}: {said} says {key} {other}, {source} says {value}; leave out one of them")
        facts = {key: value for key, (value, _) in agreed.items()}
        if camera := facts.pop("camera", ""):
            known = {key: value for key, value in asdict(CAMERAS[camera]).items() if value}
            for key, value in known.items():
                if facts.setdefault(key, value) != value:
                    raise BenchError(f"{path}: the camera {camera} has {key} {value}, not {facts[key]}")
        return facts

    def _geometry(self, path: Path) -> Geometry:
        facts = self._agreed(path)
        facts.pop("rate", None)
        if "width" not in facts or "height" not in facts:
            raise BenchError(f"{path}: its size is unknown; give size=WIDTHxHEIGHT or write {path.stem}.json beside it")
        return Geometry(**facts)

    def _rate(self, path: Path, geometry: Geometry) -> tuple[float, bool]:
        """The rate in spikes per frame of unit luminance, and whether it is an estimate."""
        stated = self._agreed(path).get("rate")
        return (stated, False) if stated else (_survey(path, geometry).rate or 1.0, True)

    def _info(self, path: Path) -> SequenceInfo:
        sidecar, geometry = self._sidecar(path), self._geometry(path)
        try:
            packed = geometry.read(path)
        except BenchError as error:
            others = _others(path, geometry) if path.stat().st_size else []
            hint = f"; it holds whole frames of {others[0]}, {_as_option(others[0])}" if others else ""
            raise BenchError(f"{error}{hint}") from None
        outside = [instant for instant in sidecar.truth if not 0 <= instant < len(packed)]
        if outside:
            raise BenchError(f"{path.with_suffix('.json')}: truth at {outside[0]}, but T = {len(packed)}")
        rate, estimated = self._rate(path, geometry)
        return SequenceInfo(
            path.stem,
            geometry.height,
            geometry.width,
            len(packed),
            rate,
            sidecar.speed_class,
            truth_at=tuple(_truth_files(path, sidecar)),
            rate_estimated=estimated,
            remark=_misread(path, geometry) or _survey(path, geometry).exposure(rate),
        )


def one_recording(path: Path, **options: Any) -> tuple[Dat, SequenceInfo]:
    """The dataset of one .dat file with these options, and its only sequence.

    Raises
    ------
    BenchError
        If the path is a folder, or the recording is unreadable.
    """
    if path.is_dir():
        raise BenchError(f"{path} is a folder; name one .dat recording")
    dataset = Dat(root=str(path), **options)
    (info,) = dataset.sequences()
    return dataset, info


def _survey(path: Path, geometry: Geometry) -> Survey:
    status = path.stat()
    return _survey_of(path, geometry, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _survey_of(path: Path, geometry: Geometry, size: int, mtime_ns: int) -> Survey:
    return survey(geometry.read(path))


def _others(path: Path, geometry: Geometry) -> list[Geometry]:
    """Other plausible geometries that fit the file's length: a known camera's dump, plain rows, sides swapped."""
    width, height = geometry.width, geometry.height
    plausible = [*CAMERAS.values(), Geometry(width, height), Geometry(height, width)]
    frame_bits = [(other.row_bits or other.width) * other.height for other in plausible]
    size = path.stat().st_size
    return [
        other
        for other, bits in zip(plausible, frame_bits, strict=True)
        if other != geometry and bits % 8 == 0 and size % (bits // 8) == 0
    ]


def _misread(path: Path, geometry: Geometry) -> str:
    """A remark that another geometry fits the recording clearly better; empty if none does.

    Only in the true geometry are neighbouring rows of a scene similar.
    """
    own = likeness_of_rows(_survey(path, geometry).counts)
    if own > 1 / 2:
        return ""
    likeness = {other: likeness_of_rows(_survey(path, other).counts) for other in _others(path, geometry)}
    best = max(likeness, key=likeness.__getitem__, default=geometry)
    if likeness.get(best, 0) <= max(_ALIKE, 2 * own):
        return ""
    return (
        f"it looks like {best}, not {geometry}: neighbouring rows are then alike by {likeness[best]:.2f} instead of "
        f"{own:.2f}; if so, state {_as_option(best)}"
    )


def _as_option(geometry: Geometry) -> str:
    """The option that states a geometry."""
    for name, known in CAMERAS.items():
        if known == geometry:
            return f"camera={name}"
    return f"size={geometry.width}x{geometry.height}"


def _read_json(path: Path) -> Sidecar:
    text = read_user_text(path)
    return _checked(path, lambda: Sidecar.model_validate_json(text))


def _read_spikecv(path: Path) -> dict[str, Any]:
    """Width and height from SpikeCV's config.yaml; empty if the file of this name is another program's."""
    import yaml

    try:
        fields = yaml.safe_load(read_user_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BenchError(f"{path} is not valid YAML: {one_line(str(error))}") from None
    if not isinstance(fields, dict) or not {"spike_w", "spike_h"} & set(fields):
        return {}
    config = _checked(path, lambda: SpikeCvConfig.model_validate(fields))
    return {"width": config.spike_w, "height": config.spike_h}


def _checked(path: Path, validate: Callable[[], Model]) -> Model:
    try:
        return validate()
    except ValidationError as error:
        raise BenchError(f"{path}: {first_fault(error)}") from None


def _truth_files(recording: Path, sidecar: Sidecar) -> dict[int, Path]:
    """Truth pictures by index of the spike frame; they must lie in the sidecar's folder or below it."""
    folder = recording.parent.resolve()
    files = {instant: (folder / file).resolve() for instant, file in sorted(sidecar.truth.items())}
    for path in files.values():
        if not path.is_relative_to(folder):
            raise BenchError(f"{recording.with_suffix('.json')}: truth {path} lies outside {folder}")
        if not path.is_file():
            raise BenchError(f"{recording.with_suffix('.json')}: truth {path} does not exist")
    return files


class _DatRecording(Recording):
    def __init__(self, packed: PackedSpikes, truth: dict[int, Path]) -> None:
        self._packed, self._truth = packed, truth

    def spikes(self, start: int, stop: int) -> np.ndarray:
        return self._packed[start:stop]

    def truth(self, instants: Sequence[int]) -> np.ndarray:
        shape = self._packed.shape[1:]
        pictures = []
        for instant in instants:
            path = self._truth[instant]
            picture = read_grey(path)
            if picture.shape != shape:
                raise BenchError(f"{path}: {picture.shape[::-1]} pixels where the recording has {shape[::-1]}")
            pictures.append(luminance(picture))
        return np.stack(pictures)
