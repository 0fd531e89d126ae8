"""What SCI's extractor and analyzer share: options, weights, availability."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.interfaces import Availability, ComponentOptions
from bench.interfaces.component import Component, parse_spec
from bench.paths import user_path

if TYPE_CHECKING:
    from torch import nn

    N = TypeVar("N", bound=nn.Module)

WEIGHTS = Path(__file__).parent / "weights"


# Variants for ablations, all trained with the same short budget; their weights are shipped.
ABLATIONS = {
    "dual": "fusions=3", "ventral": "fusions=0", "deep": "fusions=6", "free": "smooth=0",
    "afr": "align=afr", "nofmvr": "refine=false", "dcn": "align=dcn", "warp": "align=warp",
}  # fmt: skip
# Variants with their own extraction; the others are analyses of the shipped extraction's features.
EXTRACTIONS = ("dual", "ventral", "deep", "free")


class SciOptions(ComponentOptions):
    """Options: the preset; the weight file and the device, which describe this machine and stay out of rows."""

    preset: Literal["small", "paper"] = "small"
    """Size of the networks: small is trained and shipped, paper can only be counted."""
    weights: str = Field(default="", exclude=True)
    """Weight file; by default the shipped one."""
    device: str = Field(default="cpu", exclude=True)
    """Device of PyTorch: cpu or cuda."""


class CodecOptions(SciOptions):
    """Options of the codec, with parts of its networks (see `CodecSize`); None stands for the preset's."""

    long_term: bool | None = None
    """Whether inter frames are also predicted directly from the last key frame."""
    places: int | None = Field(default=None, ge=1, le=2)
    """Number of kinds of inter frames that have their own steps and biases."""
    cubic: bool | None = None
    """Whether frames are warped by cubic instead of bilinear interpolation."""
    finest: int | None = Field(default=None, ge=0, le=2)
    """Number of rate points that intra frames have beyond those of inter frames."""
    global_motion: bool | None = None
    """Whether the motion of a frame may be that of the whole frame."""


class PartOptions(SciOptions):
    """Options of extractor and analyzer: one of the shipped `ABLATIONS`. Subclasses list those that they take."""

    ablation: str = ""
    """A shipped variant of the networks."""

    @model_validator(mode="after")
    def _one_variant(self) -> PartOptions:
        if self.ablation and (others := self.model_fields_set - {"ablation", "device"}):
            raise ValueError(f"ablation={self.ablation} is a whole variant; leave out {min(others)}")
        return self


class Variant(Component):
    """What a training of SCI changes, for ablations; the defaults are those of the shipped model."""

    name = "variant"

    class Options(ComponentOptions):
        """Options of a variant.

        Attributes
        ----------
        fusions
            Number of pathway fusion units; 0: only the ventral pathway, None: the preset's number.
        smooth, anchor
            Weights, in the loss of stage I, of the feature's Laplacian and of its own squared error.
        align, refine
            How analysis aligns neighbours, and whether FMVR refines motion.
        encoder
            Whether stage III trains the encoder as well.
        """

        fusions: int | None = Field(default=None, ge=0, le=32)
        smooth: float = Field(default=0.002, ge=0)
        anchor: float = Field(default=0.5, ge=0)
        align: Literal["afr", "dcn", "warp"] = "afr"
        refine: bool = True
        encoder: bool = False


def unpublished(name: str) -> BenchError:
    """The error for a component of the paper's size without weights."""
    return BenchError(
        f"{name}: no weights of the paper's size were published; `bench train sci:preset=paper` makes some, which the "
        "option weights names"
    )


class SciPart(Component):
    """A trained module of SCI.

    Attributes
    ----------
    file, stage
        Name of its weights, and the stage of training that makes them.
    """

    Options = PartOptions
    file: ClassVar[str]
    stage: ClassVar[str]

    def weight_file(self) -> Path:
        """The weights: those in the package, or the file that the option `weights` names.

        Raises
        ------
        BenchError
            If there are none.
        """
        if self.options.preset == "paper" and not self.options.weights:
            raise unpublished(self.name)
        shipped = WEIGHTS / "ablations" / self.options.ablation if self.options.ablation else WEIGHTS
        path = user_path(self.options.weights) if self.options.weights else shipped / self.file
        if not path.is_file():
            raise BenchError(
                f"{self.name}: no weights {path} (`bench train {self._trained} --stage {self.stage}` makes such a file)"
            )
        return path

    @property
    def _trained(self) -> str:
        """Spec of the codec whose training makes such weights."""
        return "sci" if self.options.preset == "small" else f"sci:preset={self.options.preset}"

    @property
    def variant(self) -> Any:
        """What differs from the shipped model, as options of `Variant`."""
        if self.options.ablation:
            return Variant(**parse_spec(f"{Variant.name}:{ABLATIONS[self.options.ablation]}")[1]).options
        stated = self.options.model_dump(include=set(Variant.Options.model_fields))
        return Variant(**stated).options

    def available(self) -> Availability:
        """Whether the weights are here."""
        try:
            return Availability(True, f"{self.options.preset} weights", self.weights_sha256)
        except BenchError as error:
            return Availability(False, reason=str(error))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weight file."""
        return file_sha256(self.weight_file())

    def restored(self, network: type[N], *arguments: Hashable) -> N:
        """A network of this class and these arguments with its weights, on its device; read once per process."""
        from bench.weights import check_device, restored

        check_device(self.options.device)
        place = self.weight_file(), self.options.device, self.weights_sha256
        instance: N = restored(network, arguments, *place)  # type: ignore[arg-type]  # classes are hashable
        return instance
