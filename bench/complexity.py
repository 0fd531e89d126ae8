"""Counts parameters and multiply-accumulates of a component's parts.

Torch's own counter counts convolutions, matrix products and attention; formulas in this file count deformable
convolution and warping. Other operations, most of them element-wise, are listed by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from bench.published import stated

if TYPE_CHECKING:
    from bench.interfaces.workload import Work

# Multiplications for one bilinear sample.
_SAMPLE = 4
# Width and height of the frames for which the paper states multiply-accumulates.
PUBLISHED_SIZE = (256, 256)


@dataclass(frozen=True)
class Counted:
    """Parameters and multiply-accumulates of a part.

    Attributes
    ----------
    part, side, frame
        As in `bench.interfaces.workload.Work`.
    parameters
        Number of parameters that the part uses.
    macs
        Number of multiply-accumulates of one run.
    uncounted
        Name of each operation that is not in `macs`, and how often it ran.
    table
        The table of the paper that states figures for this part; empty for none.
    published
        The paper's parameters in millions, and multiply-accumulates in billions for a frame of 256 x 256.
    """

    part: str
    side: str
    frame: str
    parameters: int
    macs: int
    uncounted: dict[str, int]
    table: str = ""
    published: tuple[float | None, float | None] = (None, None)


def count(works: Iterable[Work]) -> list[Counted]:
    """Run each part once, and count its parameters and multiply-accumulates."""
    return [_count(work) for work in works]


def _count(work: Work) -> Counted:
    # Gradients stay enabled, so that layers run in the form in which they are trained; no parameter needs one.
    for module in work.modules:
        module.requires_grad_(False)
    with watch() as counts:
        work.run()
    parameters = {id(p): p for module in work.modules for p in module.parameters()}.values()
    used = sum(p.numel() for p in parameters if p.untyped_storage()._cdata in counts.touched)
    table, published = work.published.partition("/")[0], _published(work.published)
    return Counted(
        work.part, work.side, work.frame, used, counts.macs, dict(counts.others.most_common()), table, published
    )


@dataclass
class Watched:
    """What torch computed inside a `watch`.

    Attributes
    ----------
    macs
        Number of multiply-accumulates; set when the `watch` ends.
    touched
        Storages of all tensors that were inputs of operations.
    others
        Name of each operation that is not in `macs`, and how often it ran.
    """

    macs: int = 0
    touched: set[int] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)


@contextmanager
def watch() -> Iterator[Watched]:
    """Count what torch computes in this thread, within a ``with`` block."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode, flop_registry

    formulas: dict[Any, Any] = {torch.ops.aten.grid_sampler_2d: _warping}
    try:
        import torchvision.ops  # noqa: F401 -- registers its operators

        formulas[torch.ops.torchvision.deform_conv2d] = _deformable
    except ImportError:
        pass
    counted_names = {str(op) for op in (*flop_registry, *formulas)}
    counts = Watched()

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            for value in torch.utils._pytree.tree_leaves((args, kwargs)):
                if isinstance(value, torch.Tensor):
                    counts.touched.add(value.untyped_storage()._cdata)
            if str(func.overloadpacket) not in counted_names and not func.is_view:
                counts.others[func.overloadpacket.__name__] += 1
            return func(*args, **(kwargs or {}))

    with Watch(), FlopCounterMode(display=False, custom_mapping=formulas) as flops:  # type: ignore[no-untyped-call]
        yield counts
    counts.macs = flops.get_total_flops() // 2


def _warping(image: Any, grid: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
    return 2 * _SAMPLE * prod(out_shape)


def _deformable(image: Any, weight: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
    """A convolution whose taps are sampled and, if the last argument says so, multiplied by masks."""
    batch, outputs, height, width = out_shape
    masked = bool(rest[-1])
    sampled = image[1] * prod(weight[2:]) * (_SAMPLE + masked)
    return int(2 * batch * height * width * (outputs * prod(weight[1:]) + sampled))


def _published(row: str) -> tuple[float | None, float | None]:
    """Parameters (millions) and multiply-accumulates (billions) that the paper states in ``table/row``."""
    table, _, name = row.partition("/")
    figures = {column: float(value) for (of, column), value in stated(table).items() if of == name}
    return figures.get("parameters"), figures.get("macs")
