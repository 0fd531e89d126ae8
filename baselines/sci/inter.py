"""Inter frames of the feature codec (paper section IV-B), and its networks as one model.

Decoding uses fixed-point arithmetic only. Networks on pixels have blocks of pixels as channels, which makes them cheap.
Most parameters are in the priors, on the latent's coarse grid, where they cost few operations. The linear paths of
`baselines.neural.small` (block motion, block transform) run beside the networks, so training starts from a working
codec.

Context is mined twice: the previous decoded frame, warped by the decoded motion, is refined into the prediction, and
the prediction plus the decoded difference is refined into the frame. Each refinement passes on its maps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.neural.codec import SmallModel
from baselines.neural.coding import coder_of
from baselines.neural.fixed import (
    MOTION_STEP,
    FixedConv,
    FixedLayer,
    FixedSubpel,
    add,
    snap,
    snap_motion,
    warp_cubic,
    warp_fixed,
)  # fmt: skip
from baselines.neural.latents import LatentCoder
from baselines.neural.layers import conv, warp
from baselines.neural.motion import Known, quartered_latent
from baselines.neural.quadtree import QuadPrior
from baselines.neural.small import (
    BLOCK,
    FRAME_GAIN,
    FRAME_STEP,
    MOTION_STEPS,
    STEPS,
    DctTransform,
    Rates,
    Residual,
    bit_worth,
    coefficient_worth,
    motion_surface,
    quarter_motion,
    to_frame,
    to_network,
    zeroed,
)  # fmt: skip
from baselines.sci.global_motion import MotionKind, Trial, carried, code_kind, code_whole, fitted
from baselines.sci.refinement import Refinement, encoder_branch, lifting
from baselines.sci.sizes import CodecSize

_MOTION = 16
# Distance of key frames, in inter frames.
KEY_PERIOD = 8
# Motion to the long-term reference is clipped to this many pixels.
_FAR = 128.0
# Share of the long-term reference in the prediction at the start of training.
_SHARE = 0.25
# An error of motion costs this many times its cost in its own frame, since motion continues; chosen on held-out scenes.
# Encoders of streams try both.
_MOTION_WORTHS = (8.0, 30.0)
# Bits that a coefficient takes where it is coded at all, beside those of its size; for choices before it is coded.
_CODED = 4.0


def _at_places(steps: tuple[float, ...], places: int) -> tuple[float, ...]:
    """Starting steps of every rate point for every kind of inter frame; those of one rate point are neighbours."""
    return tuple(step for step in steps for _ in range(places))


@dataclass(frozen=True)
class State:
    """State after a decoded frame, from which the next one is coded; after an intra frame only `frame` is set.

    Attributes
    ----------
    frame
        The decoded frame, N x 1 x H x W.
    maps
        Maps of the last refinement, N x maps x H/u x W/u, where u is `CodecSize.unshuffle`.
    y, mv_y
        Decoded latents, N x C x H/16 x W/16.
    motion
        N x 2 x H x W in pixels, from the frame before.
    long_term, path
        The last key frame, and motion from this frame to it, N x 2 x H x W in pixels; None after a key frame.
    place
        Inter frames since the last key frame.
    """

    frame: Tensor
    maps: Tensor | None = None
    y: Tensor | None = None
    mv_y: Tensor | None = None
    motion: Tensor | None = None
    long_term: Tensor | None = None
    path: Tensor | None = None
    place: int = 0


class VideoNetwork(FixedLayer):
    """Codes inter frames."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        pixels = size.unshuffle**2
        points = size.places * len(STEPS)
        self.size = size
        self.unshuffle = nn.PixelUnshuffle(size.unshuffle)
        # Motion.
        self.motion_rates = Rates(_MOTION, _at_places(MOTION_STEPS, size.places))
        self.mv_encoder = nn.Sequential(
            conv(2, 16, 3, 2), nn.LeakyReLU(0.1), conv(16, 16, 3, 2), nn.LeakyReLU(0.1), conv(16, 16, 3, 2),
            nn.LeakyReLU(0.1), zeroed(conv(16, _MOTION, 3, 2)),
        )  # fmt: skip
        self.mv_prior = QuadPrior(_MOTION, size.motion, 8, _MOTION, points)
        self.mv_decoder = nn.Sequential(
            FixedSubpel(_MOTION, 16, 3, "leaky"), FixedSubpel(16, 16, 3, "leaky"), Residual(16),
            FixedConv(16, 32, zero=True), nn.PixelShuffle(4),
        )  # fmt: skip
        # Prediction.
        self.entry = FixedConv(pixels, size.maps)
        moved = 2 * pixels if size.long_term else pixels
        self.predict = Refinement(size.unshuffle, moved + size.maps, size.width, size.predict, points)
        if size.long_term:
            self.share = FixedConv(size.width, pixels, zero=True)
            nn.init.constant_(self.share.conv.bias, _SHARE)  # type: ignore[arg-type]
        # Frame.
        self.transform = DctTransform(size.latent)
        self.rates = Rates(size.latent, _at_places(STEPS, size.places))
        self.encoder = encoder_branch(2 * pixels + size.width, size.encoder, size.halvings, size.latent)
        widths = [size.width, *(size.encoder for _ in range(size.halvings))]
        self.temporal = nn.Sequential(*(FixedConv(a, b, 3, 2, activation="leaky") for a, b in pairwise(widths)))
        self.prior = QuadPrior(size.latent, size.hidden, size.hyper, size.encoder + size.latent, points)
        self.lift = lifting(size.latent, size.hidden, size.lift, size.halvings) if size.lift else None
        known = 2 * pixels + size.width + size.lift
        self.refine = Refinement(size.unshuffle, known, size.width, size.reconstruct, points)
        self.keep = FixedConv(size.width, size.maps, 1)

    def code(self, coder: LatentCoder, frame: Tensor | None, state: State, rate: Tensor) -> State:
        """Code frames N x 1 x H x W in [0, 1], None when decoding; returns the state with the decoded frames.

        Parameters
        ----------
        state
            State after the previous frame.
        rate
            Rate point of each of the N items.
        """
        place = state.place + 1
        is_key = place % KEY_PERIOD == 0
        point = self.size.places * rate + (0 if is_key else self.size.places - 1)
        if self.size.global_motion and self.frozen:
            motion, mv_y = self._code_any_motion(coder, frame, state, point)
        else:
            motion, mv_y = self._code_motion(coder, frame, state, point)
        path = self._path(state, motion)
        predicted, context = self._predict(state, motion, path, point)
        steps = self.rates(point, self.frozen)
        latent = worth = None
        if frame is not None:
            difference = frame - predicted
            seen = torch.cat((16 * self.unshuffle(difference), 4 * self.unshuffle(frame - 0.5), context), 1)
            latent = (self.transform(difference) + self.encoder(seen)) / steps
            worth = coefficient_worth(steps, rate)
        batch, _, height, width = state.frame.shape
        shape = (batch, height // BLOCK, width // BLOCK)
        past = torch.zeros(batch, self.size.latent, *shape[1:]).to(motion) if state.y is None else state.y
        decoded = self.prior.code(coder, "y", latent, (self.temporal(context), past), point, shape, worth)
        coefficients, gain = decoded * steps, self.prior.get_buffer("gain")
        plain = to_frame(predicted - 0.5 + self.transform.invert(coefficients), self.frozen)
        blocks = self.unshuffle(torch.cat((to_network(plain), to_network(plain) - to_network(predicted)), 1))
        known = [snap(blocks, self.frozen), context]
        if self.lift is not None:
            known.append(self.lift(snap((coefficients * FRAME_GAIN / gain).to(context), self.frozen)))
        detail, maps = self.refine(torch.cat(known, 1), point)
        image = to_frame(plain - 0.5 + detail, self.frozen)
        y = snap((decoded / gain).to(detail), self.frozen)
        after = State(image, self.keep(maps), y, mv_y, motion, place=0 if is_key else place)
        if is_key or not self.size.long_term:
            return after
        reference = state.frame if state.long_term is None else state.long_term
        return replace(after, long_term=reference, path=path)

    def _code_any_motion(
        self, coder: LatentCoder, frame: Tensor | None, state: State, point: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Code of every frame the kind of motion that costs least, and the motion."""
        if frame is not None:
            return self._code_cheapest(coder, frame, state, point)
        coders = [coder_of(coder, [item]) for item in range(len(point))]
        kinds = [code_kind(one, None, state.frame) for one in coders]
        onward, past = self._onward(state), self._past_motion(state)
        motion, mv_y = torch.empty_like(onward), past.clone()
        for item, (one, kind) in enumerate(zip(coders, kinds, strict=True)):
            if kind is not MotionKind.BLOCKS:
                whole = code_whole(one, kind, None, state.frame)
                motion[item] = whole.field(onward[item : item + 1])[0]
        blocks = [item for item, kind in enumerate(kinds) if kind is MotionKind.BLOCKS]
        if blocks:
            motion[blocks], mv_y[blocks] = self._code_blocks(coder_of(coder, blocks), None, past[blocks], point[blocks])
        return motion, mv_y

    def _onward(self, state: State) -> Tensor:
        """The last frames' motion, carried on along itself; none after an intra frame."""
        batch, _, height, width = state.frame.shape
        return carried(state.frame.new_zeros(batch, 2, height, width) if state.motion is None else state.motion)

    def _code_cheapest(self, coder: LatentCoder, frame: Tensor, state: State, point: Tensor) -> tuple[Tensor, Tensor]:
        """Of several ways to say each frame's motion, code the one that costs least with what is left to say after it.

        The ways are motion of blocks for each of `_MOTION_WORTHS`, and the two kinds of motion of the whole frame.
        """
        count, onward, past = len(point), self._onward(state), self._past_motion(state)
        blocks = Trial(len(_MOTION_WORTHS) * count)
        motion, mv_y = self._code_blocks(blocks, self._search(frame, state, point), past, point, _MOTION_WORTHS)
        middle = motion[:count].flatten(2).median(2).values
        # Kind, trial and first item of each way.
        ways = [(MotionKind.BLOCKS, blocks, way * count) for way in range(len(_MOTION_WORTHS))]
        motions = [motion]
        for whole in (fitted(frame, state.frame, middle), fitted(frame, state.frame, 0 * middle, onward)):
            code_whole(trial := Trial(count), whole.kind, whole.numbers, frame)
            ways.append((whole.kind, trial, 0))
            motions.append(whole.field(onward))
        motion = torch.cat(motions).view(len(ways), count, *onward.shape[1:])
        bits = torch.stack([trial.item_bits[first : first + count] for _, trial, first in ways])
        best = (bits + self._remaining_costs(frame, state, motion, point)).argmin(0)
        for item, (kind, trial, first) in enumerate(ways[way] for way in best.tolist()):
            own = coder_of(coder, [item])
            code_kind(own, kind, frame)
            trial.replay(own, first + item)
        latents = torch.cat((mv_y, past.repeat(2, 1, 1, 1))).view(len(ways), *past.shape)
        items = torch.arange(count, device=best.device)
        return motion[best, items], latents[best, items]

    def _remaining_costs(self, frame: Tensor, state: State, motion: Tensor, point: Tensor) -> Tensor:
        """About what N frames cost beside M motions of each, M x N x 2 x H x W, in bits: M x N.

        Each coefficient is coded or left out.
        """
        steps = self.rates(point, self.frozen)
        worth = coefficient_worth(steps, point // self.size.places)
        # Not exact, and many times as fast as what decoders do.
        moved = warp(state.frame.repeat(len(motion), 1, 1, 1), motion.flatten(0, 1), self._filter)
        left = self.transform(frame.repeat(len(motion), 1, 1, 1) - moved)
        size = (left.view(*motion.shape[:2], *left.shape[1:]) / steps).abs()
        coded = worth / 12 + _CODED + 2 * (1 + size).log2()
        return torch.minimum(worth * size.square(), coded).sum((2, 3, 4))

    def _code_motion(
        self, coder: LatentCoder, frame: Tensor | None, state: State, point: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Code motion of blocks."""
        searched = None if frame is None else self._search(frame, state, point)
        return self._code_blocks(coder, searched, self._past_motion(state), point)

    def _search(self, frame: Tensor, state: State, point: Tensor) -> tuple[Tensor, Tensor]:
        """Motion of blocks before quantisation, N x 16 x h x w in pixels, and what an error of it costs."""
        rate = point // self.size.places
        return quartered_latent(frame, state.frame, rate, self.mv_encoder, _MOTION, self.known(state))

    def _code_blocks(
        self,
        coder: LatentCoder,
        searched: tuple[Tensor, Tensor] | None,
        past: Tensor,
        point: Tensor,
        lasting: tuple[float, ...] = _MOTION_WORTHS[:1],
    ) -> tuple[Tensor, Tensor]:
        """Code motion of blocks that was searched.

        Parameters
        ----------
        past
            The last latent of motion that was coded (`_past_motion`).
        lasting
            What an error of motion costs beyond its own frame. With M values the motion is coded in M ways.

        Returns
        -------
        tuple
            Motion of pixels, M N x 2 x H x W, and the decoded latent, M N x 16 x h x w; all of the first way first.
        """
        ways = len(lasting)
        steps = self.motion_rates(point, self.frozen).repeat(ways, 1, 1, 1)
        past, point = past.repeat(ways, 1, 1, 1), point.repeat(ways)
        latent = worth = None
        if searched is not None:
            vectors, stake = (part.repeat(ways, 1, 1, 1) for part in searched)
            latent = vectors / steps
            times = steps.new_tensor(lasting).repeat_interleave(len(point) // ways).view(-1, 1, 1, 1)
            worth = times * stake * steps.square() / bit_worth(point // self.size.places)
        batch, _, height, width = past.shape
        decoded = self.mv_prior.code(coder, "mv", latent, (past,), point, (batch, height, width), worth)
        # In units of four pixels.
        moved = snap((decoded * steps / 4).to(past), self.frozen)
        surface = motion_surface(quarter_motion(moved), self.frozen, BLOCK // 2)
        motion = snap_motion(4 * add(surface, self.mv_decoder(moved)), self.frozen)
        return motion, snap(decoded.to(past), self.frozen)

    def _past_motion(self, state: State) -> Tensor:
        """The last latent of motion that was coded."""
        if state.mv_y is not None:
            return state.mv_y
        batch, _, height, width = state.frame.shape
        return state.frame.new_zeros(batch, _MOTION, height // BLOCK, width // BLOCK)

    def known(self, state: State) -> Known | None:
        """What the encoder's motion search knows before it starts; None where it knows nothing."""
        if not self.size.long_term or state.motion is None:
            return None
        return Known(state.motion, state.long_term, state.path)

    def _path(self, state: State, motion: Tensor) -> Tensor:
        """Motion to the long-term reference: to the previous frame, and from there to the reference."""
        if state.path is None:
            return motion
        onward = warp_fixed(state.path, motion, self.frozen, MOTION_STEP)
        return (motion + onward).clamp(-_FAR, _FAR)

    def _predict(self, state: State, motion: Tensor, path: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction, N x 1 x H x W, from motion and the kept maps, and maps of the context."""
        warped = self._moved(state.frame, motion)
        maps = self.entry(self.unshuffle(to_network(state.frame))) if state.maps is None else state.maps
        side = self.size.unshuffle
        slow = snap_motion(F.avg_pool2d(motion, side) / side, self.frozen)
        known = [self.unshuffle(to_network(warped)), warp_fixed(maps, slow, self.frozen)]
        if not self.size.long_term:
            detail, context = self.predict(torch.cat(known, 1), point)
            return to_frame(warped - 0.5 + detail, self.frozen), context
        other = warped if state.long_term is None else self._moved(state.long_term, path)
        known.append(snap(self.unshuffle(to_network(other) - to_network(warped)), self.frozen))
        detail, context = self.predict(torch.cat(known, 1), point)
        share = self.predict.shuffle(self.share(context)).clamp(0, 1)
        return to_frame(warped - 0.5 + share * (other - warped) + detail, self.frozen), context

    @property
    def _filter(self) -> str:
        return "bicubic" if self.size.cubic else "bilinear"

    def _moved(self, frame: Tensor, motion: Tensor) -> Tensor:
        if self.size.cubic:
            return warp_cubic(frame, motion, self.frozen, FRAME_STEP)
        return warp_fixed(frame, motion, self.frozen, FRAME_STEP)

    def calibrate(self, frames: Tensor, past: Tensor) -> None:
        """Set the prior's starting scales from the differences of successive frames, without motion compensation."""
        self.prior.calibrate(self.transform(frames - past), _at_places(STEPS, self.size.places))


class SciModel(SmallModel):
    """SCI's networks as a `FrameModel`."""

    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        if state is None:
            decoded = self.code_intra(coder, frame, size)
            return decoded, State(decoded)
        after = self.video.code(coder, frame, state, self.rate)
        return after.frame, after
