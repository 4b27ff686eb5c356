"""What every module over sets must do: each property is one check, of one module, that raises AssertionError.

Everything is in double precision, where two right ways of computing agree to about 1e-12.
"""

import inspect
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any
from unittest.mock import patch

import torch
from examples import DIM
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from patchsets.set_module import Sets, ragged_attention
from patchsets.set_module.segment import segment_sum

# Each of the three ways to attend on a CPU: a loop over sets, padding with a mask, and sets of one size.
BATCHES = [(3, 0, 130, 1, 7), (3, 0, 5, 1), (4, 4, 4)]
WARM_UP = [*BATCHES, (6, 6), (50, 2), (1, 0, 60, 2), (7, 7, 7, 7)]


def random_sets(lengths: tuple[int, ...], seed: int = 1) -> Sets:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(sum(lengths), DIM, dtype=torch.float64, generator=generator)
    return Sets(values.requires_grad_(), torch.tensor(lengths))


def per_set(output: Any) -> list[Tensor]:
    """Cut a module's output into one tensor per set."""
    return list(output.split() if isinstance(output, Sets) else output)


def total(output: Any) -> Tensor:
    """Reduce an output to one number that depends on every part of it differently."""
    values = output.values if isinstance(output, Sets) else output
    return (values * torch.linspace(-1, 1, values.numel(), dtype=values.dtype).view_as(values)).sum()


def total_of(module: nn.Module, sets: Sets, values: Tensor) -> Tensor:
    return total(module(sets.with_values(values)))


def gradient(module: nn.Module, sets: Sets) -> Tensor:
    return torch.autograd.grad(total(module(sets)), sets.values)[0]


def assert_same(found: list[Tensor], expected: list[Tensor], what: str) -> None:
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(one, other, msg=f"{what}, set {number}: ".__add__)


def depends_on_order(module: nn.Module, lengths: tuple[int, ...]) -> bool:
    """Say whether shuffling a set's elements does more than shuffle the elements of the output alike."""
    sets = random_sets(lengths)
    order = [torch.randperm(size, generator=torch.Generator().manual_seed(size)) for size in lengths]
    shuffled = torch.cat([one[o] for one, o in zip(sets.split(), order, strict=True)])
    expected, found = module(sets), per_set(module(sets.with_values(shuffled)))
    if isinstance(expected, Sets):
        expected = [one[o] for one, o in zip(expected.split(), order, strict=True)]
    return not all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))


def order(module: nn.Module) -> None:
    """1: the order of elements means nothing, except where declared, and there it must mean something."""
    dependent = any(depends_on_order(module, lengths) for lengths in BATCHES)
    declared = getattr(module, "order_dependent", False)
    assert dependent == declared, f"depends on order: {dependent}, declared: {declared}"


def padding(module: nn.Module) -> None:
    """2, 3, 4, 10: neither content nor amount of padding matters, and its gradient is exactly 0."""
    for lengths in BATCHES:
        sets = random_sets(lengths)
        x_BND, mask_BN = (t.detach() for t in sets.padded())
        expected, expected_gradient = per_set(module(sets)), gradient(module, sets)
        for junk, extra in ((1e3, 0), (torch.nan, 3), (torch.inf, 1)):
            mask = nn.functional.pad(mask_BN, (0, extra))
            x = (
                nn.functional.pad(x_BND, (0, 0, 0, extra))
                .masked_fill(~mask[..., None], junk)
                .requires_grad_()
            )
            output = module(Sets.from_padded(x, mask))
            assert_same(per_set(output), expected, f"{junk} in {extra} more columns of padding")
            found = torch.autograd.grad(total(output), x)[0]
            torch.testing.assert_close(found[mask], expected_gradient)
            assert (found[~mask] == 0).all(), "a gradient at padding"


def empty(module: nn.Module) -> None:
    """5: an empty set gives finite values and gradients, the same whoever is in the batch."""
    for lengths in BATCHES[:2]:
        sets = random_sets(lengths)
        output = module(sets)
        parameters = [p for p in module.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(total(output), [sets.values, *parameters], allow_unused=True)
        assert all(one.isfinite().all() for one in per_set(output)), "a value is not finite"
        assert all(g.isfinite().all() for g in gradients if g is not None), "a gradient is not finite"
    alone = per_set(module(random_sets((0,))))[0]
    torch.testing.assert_close(per_set(output)[1], alone)


def mates(module: nn.Module) -> None:
    """6: the other sets of a batch change nothing, nor does the order of the sets."""
    for lengths in BATCHES:
        sets = random_sets(lengths)
        expected = per_set(module(sets))[-1]
        others = [50 * one + 7 for one in random_sets((60, 2), seed=2).split()]
        values = torch.cat([sets.split()[-1], *others])
        found = per_set(module(Sets(values, torch.tensor([lengths[-1], 60, 2]))))[0]
        assert_same([found], [expected], "other batch mates")


def broken_values(module: nn.Module) -> None:
    """6: a NaN in a set shows in the result of that set, and in no other."""
    for lengths in BATCHES:
        sets = random_sets(lengths)
        values = sets.values.detach().clone()
        values[lengths[0] - 1] = torch.nan
        found, expected = per_set(module(sets.with_values(values))), per_set(module(sets))
        assert found[0].isnan().any(), "a NaN was swallowed"
        assert_same(found[1:], expected[1:], "a NaN in another set")


def one_by_one(module: nn.Module) -> None:
    """7: packed together, from padding, and one by one give the same."""
    for lengths in BATCHES:
        sets = random_sets(lengths)
        packed = per_set(module(sets))
        alone = [per_set(module(Sets(one, torch.tensor([len(one)]))))[0] for one in sets.split()]
        assert_same(packed, alone, "one by one")
        assert_same(packed, per_set(module(Sets.from_padded(*sets.padded()))), "padded")


def attention(module: nn.Module) -> None:
    """8: returning attention changes no output; weights are positive and add up to 1 over real elements."""
    if "return_attention" not in inspect.signature(module.forward).parameters:
        return
    for lengths in BATCHES:
        sets = random_sets(lengths)
        output, weights = module(sets, return_attention=True)
        assert_same(per_set(output), per_set(module(sets)), "with attention")
        assert (weights.values >= 0).all()
        sums = segment_sum(weights)[torch.tensor(lengths) > 0]
        torch.testing.assert_close(sums, torch.ones_like(sums))


def in_buckets(module: nn.Module) -> None:
    """8: the way without a loop, which a GPU takes, gives the same values and gradients."""
    for lengths in BATCHES:
        sets = random_sets(lengths)
        expected, expected_gradient = per_set(module(sets)), gradient(module, sets)
        with patch.multiple(ragged_attention, LOOP_ABOVE=inf, LOOP_ABOVE_FOR_POINTS=inf, PADDED=0):
            assert_same(per_set(module(sets)), expected, "in buckets")
            torch.testing.assert_close(gradient(module, sets), expected_gradient)


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that live at once, whatever made them."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf.untyped_storage())
        return result

    def count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.live += storage.nbytes()
            self.most = max(self.most, self.live)
            weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())

    def forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size


def peak(module: nn.Module, lengths: tuple[int, ...], **asked: bool) -> int:
    """Return the bytes that forward and backward over sets of these sizes hold at once."""
    sets = random_sets(lengths)
    with Peak() as counted:
        output = module(sets, **asked)
        torch.autograd.grad(total(output[0] if asked else output), sets.values)
    return counted.most


def memory(module: nn.Module) -> None:
    """8: memory grows with all elements, not with the number of sets times the largest."""
    heavy, even = (2000, *[5] * 63), (*[36] * 63, 47)  # as many elements, once padded to 128,000 rows
    for loop_above in (0, inf):
        limits = {"LOOP_ABOVE": loop_above, "LOOP_ABOVE_FOR_POINTS": loop_above, "CHUNK": 4000}
        with patch.multiple(ragged_attention, **limits):
            for asked in ({}, {"return_attention": True}):
                if asked.keys() <= inspect.signature(module.forward).parameters.keys():
                    ratio = peak(module, heavy, **asked) / peak(module, even, **asked)
                    assert ratio < 2, f"{ratio:.1f} times the memory, {asked}, loop above {loop_above}"


class Packed(nn.Module):
    """A module over sets as a function of values `[T, D]` and lengths `[B]`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        output = self.module(Sets(values, lengths))
        return output.values if isinstance(output, Sets) else output


def exports(module: nn.Module) -> None:
    """12: exported once, it gives the same for other sizes, and for another number of sets."""
    packed = Packed(module).eval()
    example = random_sets(BATCHES[0])
    sizes = {"values": {0: torch.export.Dim.DYNAMIC}, "lengths": {0: torch.export.Dim.DYNAMIC}}
    program = torch.export.export(packed, (example.values.detach(), example.lengths), dynamic_shapes=sizes)
    for lengths in (*BATCHES, (5, 2, 9, 1, 0, 0, 3)):
        sets = random_sets(lengths)
        found, expected = program.module()(sets.values, sets.lengths), packed(sets.values, sets.lengths)
        torch.testing.assert_close(found, expected)


def deterministic(module: nn.Module) -> None:
    """9: evaluation draws nothing at random."""
    training = module.training
    sets = random_sets(BATCHES[0])
    first, second = per_set(module.eval()(sets)), per_set(module(sets))
    module.train(training)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), "two evaluations differ"


def half_precision(module: nn.Module) -> None:
    """11: under bf16 autocast and in float16, values stay near those of float32; gradients are finite."""
    module = module.float()
    for lengths in BATCHES:
        sets = random_sets(lengths).to(torch.float32)
        expected = per_set(module(sets))
        with torch.autocast("cpu", torch.bfloat16):
            output = module(sets)
        for found, wanted in zip(per_set(output), expected, strict=True):
            torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)
        assert torch.autograd.grad(total(output).float(), sets.values)[0].isfinite().all()
    for lengths in BATCHES:
        sets = random_sets(lengths).to(torch.float16)
        module.half()
        halves, exact = per_set(module(sets)), per_set(module.float()(sets.to(torch.float32)))
        for found, wanted in zip(halves, exact, strict=True):
            assert found.dtype == torch.float16
            torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)


def gradients(module: nn.Module) -> None:
    """11: gradients are those of finite differences."""
    for lengths in ((2, 0, 3), (34, 1), (2, 2)):
        sets = random_sets(lengths)
        assert torch.autograd.gradcheck(partial(total_of, module, sets), sets.values, fast_mode=True)


def compiled(module: nn.Module) -> None:
    """12: compiled, values are the same, and after a few batches new set sizes compile nothing more."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    fast = torch.compile(module, backend=counter)
    warnings.filterwarnings(
        "ignore", "The .grad attribute of a Tensor that is not a leaf"
    )  # the compiler's own
    for number, lengths in enumerate([*WARM_UP, (5, 2, 9, 1, 0, 0, 3), (7, 45), (9, 9, 9, 9, 9, 9)]):
        sets = random_sets(lengths)
        assert_same(per_set(fast(sets)), per_set(module(sets)), "compiled")
        if number < len(WARM_UP):
            graphs = counter.frame_count
    assert counter.frame_count == graphs > 0, f"{counter.frame_count - graphs} new graphs for new set sizes"


def streaming(module: nn.Module) -> None:
    """13: where declared, pooling what parts of a set were pooled to equals pooling the set."""
    if not getattr(module, "associative", False):
        return
    whole, parts = random_sets((40, 6)), torch.tensor([10, 1, 29, 2, 4])
    pooled_parts = Sets(module(Sets(whole.values, parts)), torch.tensor([3, 2]))
    assert_same(list(module(pooled_parts)), list(module(whole)), "in parts")


PROPERTIES: list[Callable[[nn.Module], None]] = [
    order,
    padding,
    empty,
    mates,
    broken_values,
    one_by_one,
    attention,
    in_buckets,
    memory,
    exports,
    deterministic,
    half_precision,
    gradients,
    compiled,
    streaming,
]
