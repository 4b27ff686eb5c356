"""Attention against the formulas of the papers, written plainly for one set at a time."""

import pytest
import torch
from torch import Tensor, nn

from patchsets.set_module import MAB, PMA, SAB, AttentionPool, Each, PatchLogits, SetNorm, Sets, SlotAttention
from patchsets.set_module import ragged_attention as ragged
from workbench.common.errors import ConfigError

DIM, HEADS = 8, 2


def random_sets(*lengths: int) -> Sets:
    return Sets(torch.randn(sum(lengths), DIM, dtype=torch.float64), torch.tensor(lengths))


def paper_mab(block: MAB, x: Tensor, y: Tensor) -> Tensor:
    """MAB(X, Y) = H + rFF(H), H = X' + softmax(X' K' / sqrt(head width)) V', head by head."""
    q, (k, v) = block.project_query(x), block.project_key_value(y).chunk(2, dim=1)
    heads = [
        (one_q @ one_k.T / (DIM / HEADS) ** 0.5).softmax(1) @ one_v
        for one_q, one_k, one_v in zip(*(t.chunk(HEADS, dim=1) for t in (q, k, v)), strict=True)
    ]
    hidden = q + torch.cat(heads, dim=1)
    return hidden + block.feed_forward(hidden).relu()


@pytest.mark.parametrize("largest", [5, 40])  # on either side of the crossover from padding to a loop
def test_mab_between_sets_of_other_sizes_is_that_of_the_paper(largest: int) -> None:
    block = MAB(DIM, HEADS).double()
    query, key = random_sets(3, 1, 4), random_sets(largest, 2, 1)
    found = block(query, key).split()
    for one, x, y in zip(found, query.split(), key.split(), strict=True):
        torch.testing.assert_close(one, paper_mab(block, x, y))


def test_every_way_to_attend_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    block, sets = SAB(DIM, HEADS).double(), random_sets(4, 4, 4)
    dense = block(sets).values
    ragged_sets = Sets(
        torch.cat([sets.values, torch.ones(1, DIM, dtype=torch.float64)]), torch.tensor([4, 4, 4, 1])
    )
    for loop_above in (0, 100):
        monkeypatch.setattr(ragged, "LOOP_ABOVE", loop_above)
        torch.testing.assert_close(block(ragged_sets).values[:12], dense)


def test_layer_norm_follows_each_residual() -> None:
    block, sets = SAB(DIM, HEADS, norm="layer").double(), random_sets(3, 5)
    out = block(sets).values
    torch.testing.assert_close(out.mean(1), torch.zeros(8, dtype=torch.float64))
    torch.testing.assert_close(
        out.var(1, correction=0), torch.ones(8, dtype=torch.float64), rtol=1e-3, atol=0
    )


def test_the_clean_path_of_set_norm_is_the_identity_where_the_branches_are_zero() -> None:
    block, sets = SAB(DIM, HEADS, norm="set").double(), random_sets(3, 5)
    for branch in (block.block.project_key_value, block.block.feed_forward):
        nn.init.zeros_(branch.weight)
        nn.init.zeros_(branch.bias)
    assert torch.equal(block(sets).values, sets.values)


def test_set_norm_gives_each_set_mean_0_and_variance_1() -> None:
    for one in SetNorm(DIM).double()(random_sets(30, 7)).split():
        torch.testing.assert_close(one.mean(), torch.tensor(0.0, dtype=torch.float64))
        torch.testing.assert_close(
            one.var(correction=0), torch.tensor(1.0, dtype=torch.float64), rtol=1e-3, atol=0
        )


def test_pma_of_an_empty_set_is_the_residual_path_of_its_seeds() -> None:
    pool = PMA(DIM, HEADS, seeds=3).double()
    seeds = pool.block.project_query(pool.seeds)
    expected = seeds + pool.block.feed_forward(seeds).relu()
    torch.testing.assert_close(pool(random_sets(0, 2))[0], expected)
    torch.testing.assert_close(pool(random_sets(0))[0], expected)


def test_attention_pool_and_patch_logits_of_an_empty_set_are_0() -> None:
    sets = random_sets(0, 2)
    assert (AttentionPool(DIM).double()(sets)[0] == 0).all()
    assert (PatchLogits(DIM, 3).double()(sets)[0] == 0).all()


def test_patch_logits_average_to_the_answer() -> None:
    answer, logits = PatchLogits(DIM, 3).double()(random_sets(4, 2), return_logits=True)
    torch.testing.assert_close(answer, torch.stack([one.mean(0) for one in logits.split()]))


def test_returned_weights_are_those_that_pooled() -> None:
    pool, sets = AttentionPool(DIM).double(), random_sets(4, 2)
    pooled, weights = pool(sets, return_attention=True)
    expected = [w @ x for w, x in zip(weights.split(), sets.split(), strict=True)]
    torch.testing.assert_close(pooled, torch.stack(expected))


def test_a_lone_slot_has_no_rival_and_weighs_all_elements_alike() -> None:
    # Only a softmax over slots does so; over elements, as in ordinary attention, their scores would matter.
    _, weights = SlotAttention(DIM, slots=1).double()(random_sets(5, 2), return_attention=True)
    expected = torch.tensor([1 / 5] * 5 + [1 / 2] * 2, dtype=torch.float64)
    torch.testing.assert_close(weights.values[:, 0], expected)


def test_a_network_reads_as_its_description() -> None:
    network = nn.Sequential(
        Each(nn.Linear(DIM, 16), nn.ReLU()), SAB(16), PMA(16), nn.Flatten(), nn.Linear(16, 3)
    ).double()
    assert network(random_sets(5, 0, 2)).shape == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 10, "heads": 4}, "heads=4"),
        ({"dim": 8, "dim_in": 3, "norm": "set"}, "Each"),
        ({"dim": 8, "norm": "batch"}, "none, layer or set"),
    ],
)
def test_impossible_widths_and_norms_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SAB(**arguments)


def test_a_network_exports_with_sets_of_any_number_and_size() -> None:
    class OfTensors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(Each(nn.Linear(DIM, 8), nn.ReLU()), SAB(8), PMA(8), nn.Flatten())

        def forward(self, x_BND: Tensor) -> Tensor:
            return self.layers(Sets.from_padded(x_BND))

    network = OfTensors().eval()
    dims = {0: torch.export.Dim("B"), 1: torch.export.Dim("N", min=1)}
    exported = torch.export.export(network, (torch.randn(2, 5, DIM),), dynamic_shapes=(dims,)).module()
    x_BND = torch.randn(3, 40, DIM)
    torch.testing.assert_close(exported(x_BND), network(x_BND))
