"""The conformance suite can fail: modules broken on purpose are caught, each by the property it breaks."""

from collections.abc import Callable

import properties
import pytest
import torch
from examples import DIM, make, makers
from torch import Tensor, nn

from patchsets.set_module import Pool, Sets
from patchsets.set_module.segment import segment_sum


class FirstElementFirst(nn.Module):
    """Weigh elements by their place, which nobody may know."""

    def forward(self, sets: Sets) -> Tensor:
        return segment_sum(sets.with_values(sets.values / (1 + sets.position[:, None])))


class DeclaredFirstElementFirst(FirstElementFirst):
    order_dependent = True


class DeclaredForNothing(Pool):
    order_dependent = True


class MeanWithPadding(nn.Module):
    """Divide by the largest size in the batch."""

    def forward(self, sets: Sets) -> Tensor:
        return sets.pad().mean(1)


class NanForEmpty(nn.Module):
    """Divide by the size, whatever it is."""

    def forward(self, sets: Sets) -> Tensor:
        return segment_sum(sets) / sets.lengths[:, None]


class InfiniteGradientForEmpty(nn.Module):
    """Take a square root whose slope at 0 is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(DIM))

    def forward(self, sets: Sets) -> Tensor:
        return (segment_sum(sets) * self.scale).square().sqrt()


class NormalizeOverBatch(nn.Module):
    """Let every set see the mean of all elements."""

    def forward(self, sets: Sets) -> Sets:
        return sets.with_values(sets.values - sets.values.mean(0))


class NoiseInEvaluation(nn.Module):
    """Keep dropout on."""

    def forward(self, sets: Sets) -> Sets:
        return sets.with_values(nn.functional.dropout(sets.values))


class OtherAttention(nn.Module):
    """Give another output when asked for weights, or weights that do not add up."""

    def __init__(self, output: float, weight: float) -> None:
        super().__init__()
        self.output, self.weight = output, weight

    def forward(self, sets: Sets, return_attention: bool = False) -> Tensor | tuple[Tensor, Sets]:
        pooled = segment_sum(sets)
        share = sets.spread(1 / sets.lengths.clamp(min=1))[:, None]
        return (self.output * pooled, sets.with_values(self.weight * share)) if return_attention else pooled


class WrongGradient(nn.Module):
    """Hide part of the gradient."""

    def forward(self, sets: Sets) -> Sets:
        return sets.with_values(sets.values * sets.values.detach())


class OverflowInHalf(nn.Module):
    """Leave the range of half precision as soon as autocast is on."""

    def forward(self, sets: Sets) -> Sets:
        half = torch.is_autocast_enabled("cpu")
        return sets.with_values(((sets.values * 1e6).half() if half else sets.values * 1e6) / 1e6)


class GraphPerSize(nn.Module):
    """Loop over sizes in the traced code."""

    def forward(self, sets: Sets) -> Tensor:
        return torch.stack([one.sum(0) for one in sets.split()])


class MeanOfMeans(Pool):
    """Claim that parts of different size may be averaged."""

    def __init__(self) -> None:
        super().__init__("mean")
        self.associative = True


@pytest.mark.parametrize(
    ("broken", "property_"),
    [
        (FirstElementFirst, properties.order),
        (lambda: DeclaredForNothing("sum"), properties.order),
        (MeanWithPadding, properties.mates),
        (MeanWithPadding, properties.one_by_one),
        (NanForEmpty, properties.empty),
        (InfiniteGradientForEmpty, properties.empty),
        (NormalizeOverBatch, properties.mates),
        (NormalizeOverBatch, properties.one_by_one),
        (NoiseInEvaluation, properties.deterministic),
        (lambda: OtherAttention(1.01, 1), properties.attention),
        (lambda: OtherAttention(1, 1.01), properties.attention),
        (WrongGradient, properties.gradients),
        (OverflowInHalf, properties.half_precision),
        (GraphPerSize, properties.compiled),
        (MeanOfMeans, properties.streaming),
    ],
)
def test_the_suite_catches(broken: Callable[[], nn.Module], property_: Callable[[nn.Module], None]) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        property_(make(broken))


def test_an_order_dependent_module_passes_when_it_is_declared() -> None:
    properties.order(make(DeclaredFirstElementFirst))


def test_the_suite_catches_padding_that_is_multiplied_instead_of_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def multiply(x_BN: Tensor, mask_BN: Tensor) -> Sets:
        return Sets((x_BN * mask_BN[..., None]).flatten(0, 1), torch.full((len(x_BN),), x_BN.shape[1]))

    monkeypatch.setattr(Sets, "from_padded", staticmethod(multiply))
    with pytest.raises(AssertionError, match="nan"):
        properties.padding(make(lambda: Pool("sum")))


def test_an_exported_module_that_cannot_be_made_fails_the_suite() -> None:
    class Unheard(nn.Module):
        def __init__(self, mystery: int) -> None:
            super().__init__()

    with pytest.raises(TypeError, match="mystery"):
        list(makers("Unheard", Unheard))
