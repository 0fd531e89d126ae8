"""The archive of a submission: how a run is packed, and how an archive of someone else is unpacked without harm."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from bench.board.manifest import (
    BESIDE,
    MANIFEST_FILE,
    NEEDED,
    TABLES,
    FileFacts,
    Manifest,
    member_path,
    parse_manifest,
)
from bench.errors import BenchError, one_line
from bench.files import disk_errors, whole_file
from bench.fingerprint import file_sha256
from bench.results.document import stream_path
from bench.results.rows import RUN_FILE, STREAMS

_STREAM = re.compile(rf"{STREAMS}/[0-9a-f]{{12}}\.spk")
# Limits of an archive, bytes.
_MOST = {MANIFEST_FILE: 16 << 20, RUN_FILE: 16 << 20} | dict.fromkeys(TABLES, 64 << 20)
_MOST_STREAM = 256 << 20
_MOST_TOTAL = 2 << 30
_MOST_FILES = 65_000  # fewer than need the format's extension for large archives
_MOST_DIRECTORY = 16 << 20
_END = struct.Struct("<4s4H2LH")  # the end of an archive without a comment
_BLOCK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)


def is_member(name: str) -> bool:
    """Whether an archive may hold a file of this name."""
    return name in _MOST or bool(_STREAM.fullmatch(name))


def stream_name(job: str) -> str:
    """Name of a job's stream in an archive."""
    return f"{STREAMS}/{job}.spk"


def present_files(folder: Path, jobs: Iterable[str]) -> list[str]:
    """Names of the files of a run that an archive takes: run.json, the tables, and the streams of these jobs.

    Raises
    ------
    BenchError
        If a stream is not there.
    """
    names = [*NEEDED, *(name for name in BESIDE if (folder / name).is_file())]
    for job in jobs:
        if not stream_path(folder, job).is_file():
            raise BenchError(f"the stream of row {job} is not in {folder / STREAMS}; leave out --streams")
        names.append(stream_name(job))
    return sorted(names)


def file_facts(folder: Path, names: Iterable[str]) -> dict[str, FileFacts]:
    """SHA-256 and size of files of a folder, by their names in an archive.

    Raises
    ------
    BenchError
        If a file, or all together, are larger than an archive may hold.
    """
    facts = {}
    for name in names:
        path = member_path(folder, name)
        size = path.stat().st_size
        _check_size(name, size, str(path))
        facts[name] = FileFacts(sha256=file_sha256(path), size=size)
    if len(facts) >= _MOST_FILES or sum(fact.size for fact in facts.values()) > _MOST_TOTAL:
        raise BenchError(f"{folder} has more than an archive holds, {_MOST_TOTAL >> 30} GiB; leave out --streams")
    return facts


def write_archive(folder: Path, manifest: Manifest, target: Path) -> None:
    """Write the files that a manifest names, and the manifest, into one ZIP file, atomically.

    The same manifest gives the same bytes: names are sorted, times are those of 1980, and no file has attributes of
    this machine.

    Raises
    ------
    FatalError
        If the disk is full or refuses the file.
    """
    with disk_errors(target.parent), whole_file(target) as file, zipfile.ZipFile(file, "w") as archive:
        _add(archive, MANIFEST_FILE, manifest.text().encode())
        for name in sorted(manifest.files):
            _add(archive, name, member_path(folder, name).read_bytes())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # of 1980-01-01
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    # Streams do not get smaller.
    entry.compress_type = zipfile.ZIP_STORED if _STREAM.fullmatch(name) else zipfile.ZIP_DEFLATED
    archive.writestr(entry, data, compresslevel=9)


def unpack(path: Path, folder: Path, streams: bool = True) -> Manifest:
    """Unpack a submission into an empty folder, once every name, type and size in it is one that it may have.

    Parameters
    ----------
    streams
        Whether to unpack the streams too.

    Returns
    -------
    Its manifest. Whether the files have the hashes that it states is not checked here.

    Raises
    ------
    BenchError
        If it is not a submission: another kind of file, damaged, with other files than a submission may hold, or
        larger.
    """
    with _opened(path) as archive:
        entries = _checked_entries(archive, path)
        total = 0
        for name, entry in entries.items():
            if name == MANIFEST_FILE or (_STREAM.fullmatch(name) and not streams):
                continue
            target = member_path(folder, name)
            with disk_errors(folder):
                target.parent.mkdir(exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as file:
                    total += _copy(source, file, entry.file_size)
            if total > _MOST_TOTAL:
                raise _refused(path, f"it holds more than {_MOST_TOTAL} bytes")
        with archive.open(entries[MANIFEST_FILE]) as source:
            data = source.read(_MOST[MANIFEST_FILE] + 1)
    return parse_manifest(data, path.name)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever is wrong with the file becomes one line."""
    try:
        with path.open("rb") as file:
            _check_end(path, file)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise _refused(path, one_line(str(error)) or type(error).__name__) from None


def _check_end(path: Path, file: BinaryIO) -> None:
    """Refuse a file whose end is not that of a ZIP file with a small directory, before the directory is read."""
    size = file.seek(0, 2)
    file.seek(max(size - _END.size, 0))
    data = file.read(_END.size)
    if len(data) < _END.size or not data.startswith(b"PK\5\6"):
        raise _refused(path, "it does not end as a ZIP file of `bench submit`")
    _, disk, first_disk, here, count, length, offset, comment = _END.unpack(data)
    if disk or first_disk or comment or here != count or count > _MOST_FILES or length > _MOST_DIRECTORY:
        raise _refused(path, f"its directory has {count} entries in {length} bytes, which is not one of `bench submit`")
    if offset + length + _END.size != size:
        raise _refused(path, "there are bytes before or between its parts")
    file.seek(0)


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, if each is a plain file that a submission may hold, of a size that it may have."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.orig_filename  # `filename` ends at a zero byte, and has other separators replaced
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_member(name):
            raise _refused(path, f"it holds '{name[:100]}', which is no file of a submission")
        if name in entries:
            raise _refused(path, f"it holds {name} twice")
        if kind not in (0, stat.S_IFREG):
            raise _refused(path, f"{name} is no plain file in it")
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused(path, f"{name} is encrypted or compressed in a way that `bench submit` does not use")
        _check_size(name, entry.file_size, path.name)
        entries[name] = entry
    if sum(entry.file_size for entry in entries.values()) > _MOST_TOTAL:
        raise _refused(path, f"it states more than {_MOST_TOTAL} bytes")
    for name in (MANIFEST_FILE, *NEEDED):
        if name not in entries:
            raise _refused(path, f"it has no {name}")
    return entries


def _check_size(name: str, size: int, place: str) -> None:
    most = _MOST.get(name, _MOST_STREAM)
    if size > most:
        raise BenchError(f"{place}: {name} has {size} bytes; a submission may have {most}")


def _copy(source: IO[bytes], file: BinaryIO, size: int) -> int:
    """Copy a file of an archive, and no more than it states; returns the number of bytes."""
    done = 0
    while block := source.read(_BLOCK):
        done += len(block)
        if done > size:
            raise ValueError("a file in it is larger than it states")
        file.write(block)
    if done != size:
        raise ValueError("a file in it is smaller than it states")
    return done


def _refused(path: Path, why: str) -> BenchError:
    return BenchError(f"{path.name} is no submission: {why}")
