"""Set modules against the papers' padded form, and against PyG's and torchmil's where those are installed.

python benchmarks/set_modules.py        about three minutes
pip install torch_geometric torchmil    for the second table

Forward and backward of 32 sets of 128 features on one thread. Sizes: all N, uniform in N/10..N, or
mostly small (N u^3, u uniform). Outputs are checked to be equal first, where the weights can be made so.
"""

from collections.abc import Callable
from functools import partial

import torch
from padded_reference import PaddedISAB, PaddedPMA, PaddedSAB
from timing import compare, print_table
from torch import Tensor, nn

from patchsets.set_module import ISAB, PMA, SAB, AttentionPool, Pool, Sets

BATCH, DIM, HEADS = 32, 128, 4
REPEATS = {64: 21, 256: 9, 1024: 3}


def draw(largest: int, kind: str) -> Sets:
    """Draw sets whose largest has `largest` elements."""
    uniform = torch.rand(BATCH)
    part = {"full": torch.ones(BATCH), "uniform": 0.1 + 0.9 * uniform, "heavy-tailed": uniform**3}[kind]
    part[0] = 1
    lengths = (largest * part).ceil().long()
    return Sets(torch.randn(int(lengths.sum()), DIM), lengths)


def train_step(forward: Callable[[Tensor], object], x: Tensor) -> None:
    """Compute an output from a fresh leaf and all gradients."""
    output = forward(x.detach().requires_grad_())
    values = output.values if isinstance(output, Sets) else output
    torch.autograd.backward(values, torch.ones_like(values))  # type: ignore[arg-type]


def against_padded() -> None:
    """Print SAB, ISAB and PMA beside the papers' form of the same weights."""
    rows = []
    for make, make_padded, sizes in (
        (lambda: SAB(DIM, HEADS), PaddedSAB, (64, 256, 1024)),
        (lambda: ISAB(DIM, HEADS, points=32), PaddedISAB, (64, 256)),
        (lambda: PMA(DIM, HEADS), PaddedPMA, (64, 256)),
    ):
        for largest in sizes:
            for kind in ("full", "uniform", "heavy-tailed"):
                rows.append(race(make(), make_padded, draw(largest, kind), [largest, kind]))
    print_table(
        "Against the papers' padded bmm (goals for SAB: 1.9 at 256 full, 2.5 at 1024 full, 5 at 256 uniform)",
        ["module", "N", "sizes", "padded ms", "ours ms", "ratio"],
        rows,
    )


def race(module: nn.Module, make_padded: type[nn.Module], sets: Sets, labels: list) -> list[str]:
    """Check that both give the same, and return a row of the table."""
    reference = make_padded(module)
    x_BND, mask_BN = sets.padded()
    mask = None if mask_BN.all() else mask_BN
    ours, theirs = module(sets), reference(x_BND, mask)
    torch.testing.assert_close(
        *((ours.values, sets.from_pad(theirs)) if isinstance(ours, Sets) else (ours, theirs))
    )
    seconds = compare(
        {
            "padded": partial(train_step, lambda x: select(reference(x, mask), mask), x_BND),
            "ours": partial(train_step, lambda x: module(Sets(x, sets.lengths)), sets.values),
        },
        REPEATS[labels[0]],
    )
    return [type(module).__name__, *map(str, labels), *in_milliseconds(seconds, "padded", "ours")]


def select(output: Tensor, mask: Tensor | None) -> Tensor:
    """Keep the real elements, as a loss over a padded batch must."""
    return output[mask] if mask is not None and output.shape[1] == mask.shape[1] else output


def in_milliseconds(seconds: dict[str, float], other: str, ours: str) -> list[str]:
    return [
        f"{1e3 * seconds[other]:.2f}",
        f"{1e3 * seconds[ours]:.2f}",
        f"{seconds[other] / seconds[ours]:.2f}",
    ]


def against_libraries() -> None:
    """Print pooling beside PyG's aggregations and torchmil's modules, whichever are there."""
    try:
        from library_peers import peers
    except ImportError as missing:
        print(f"\nNo comparison with PyG and torchmil: {missing}")
        return
    own = {
        "mean": Pool("mean"),
        "sum": Pool("sum"),
        "max": Pool("max"),
        "std": Pool("std"),
        "attention": AttentionPool(DIM, gated=False),
        "SAB + PMA": nn.Sequential(SAB(DIM, HEADS), PMA(DIM, HEADS, feed_forward=True)),
    }
    rows = []
    for largest in (64, 256):
        for kind in ("full", "uniform"):
            sets = draw(largest, kind)
            for (name, library), other in peers(DIM, HEADS, sets).items():
                ours = partial(train_step, lambda x, m=own[name], s=sets: m(s.with_values(x)), sets.values)
                seconds = compare({"other": partial(train_step, *other), "ours": ours}, 41)
                rows.append([name, library, str(largest), kind, *in_milliseconds(seconds, "other", "ours")])
    print_table(
        "Against libraries (goals: 2 over torchmil's attention pooling, never below 1 against PyG)",
        ["pooling", "library", "N", "sizes", "library ms", "ours ms", "ratio"],
        rows,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    against_padded()
    against_libraries()
