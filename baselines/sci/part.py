"""What SCI's extractor and analyzer share: options, weights, availability."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from pydantic import Field

from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.interfaces import Availability
from bench.interfaces import Options as BaseOptions
from bench.interfaces.component import Component

if TYPE_CHECKING:
    from torch import nn

    N = TypeVar("N", bound=nn.Module)

WEIGHTS = Path(__file__).parent / "weights"


class SciOptions(BaseOptions):
    """Options: the preset; where weights lie and what device runs them, on this machine."""

    preset: Literal["small", "paper"] = "small"
    weights: str = Field(default="", exclude=True)
    device: str = Field(default="cpu", exclude=True)


class SciPart(Component):
    """A trained module of SCI.

    Attributes
    ----------
    file, stage
        Name of its weights, and the stage of training that makes them.
    """

    Options = SciOptions
    file: ClassVar[str]
    stage: ClassVar[str]

    def weight_file(self) -> Path:
        """The weights: those in the package, or the file that the option `weights` names.

        Raises
        ------
        BenchError
            If there are none.
        """
        if self.options.preset == "paper":
            raise BenchError(f"{self.name}: no weights of the paper's size were published; it can only be counted")
        path = Path(self.options.weights) if self.options.weights else WEIGHTS / self.file
        if not path.is_file():
            raise BenchError(
                f"{self.name}: no weights {path} (`bench train sci --stage {self.stage}` makes such a file)"
            )
        return path

    def available(self) -> Availability:
        """Whether the weights are here."""
        try:
            return Availability(True, f"{self.options.preset} weights", self.weights_sha256)
        except BenchError as error:
            return Availability(False, reason=str(error))

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights' file."""
        return file_sha256(self.weight_file())

    def loaded(self, network: N) -> N:
        """The network with its weights, on its device."""
        from baselines.neural.weights import load_into, read_weights

        path = self.weight_file()
        load_into(network, read_weights(path), path)
        return network.to(self.options.device).eval()
