"""Sets and the reductions over them, against plain loops over one set at a time."""

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from patchsets.set_module import AttentionPool, FSPool, Pool, SetNorm, Sets, SlotAttention
from patchsets.set_module.pooling import REDUCTIONS
from patchsets.set_module.segment import segment_mean, segment_softmax, segment_std, segment_sum
from workbench.common.errors import ConfigError, DataError

LENGTHS = torch.tensor([3, 0, 2])
VALUES = torch.tensor([[1.0, 4.0], [2.0, 4.0], [6.0, -4.0], [5.0, 0.5], [-5.0, 1.5]])


def test_padded_and_back() -> None:
    x_BND, mask_BN = Sets(VALUES, LENGTHS).padded()
    assert x_BND.shape == (3, 3, 2)
    assert mask_BN.tolist() == [[True] * 3, [False] * 3, [True, True, False]]
    assert x_BND[1].abs().sum() == 0 and x_BND[2, 2].abs().sum() == 0
    back = Sets.from_padded(x_BND, mask_BN)
    assert torch.equal(back.values, VALUES) and torch.equal(back.lengths, LENGTHS)


def test_a_list_of_sets_and_back() -> None:
    sets = Sets.from_list([VALUES[:3], VALUES[:0], VALUES[3:]])
    assert torch.equal(sets.values, VALUES) and torch.equal(sets.lengths, LENGTHS)
    assert [len(one) for one in sets] == [3, 0, 2]
    with pytest.raises(DataError, match="different shapes"):
        Sets.from_list([VALUES, VALUES[:, :1]])
    with pytest.raises(DataError, match="one tensor at least"):
        Sets.from_list([])


def test_some_of_the_sets() -> None:
    sets = Sets(VALUES, LENGTHS)
    assert torch.equal(sets[2], VALUES[3:]) and torch.equal(sets[-3], VALUES[:3]) and len(sets[1]) == 0
    for which in ([2, 0], torch.tensor([2, 0])):
        assert torch.equal(sets[which].values, torch.cat([VALUES[3:], VALUES[:3]]))
    assert sets[1:].lengths.tolist() == sets[torch.tensor([False, True, True])].lengths.tolist() == [0, 2]
    assert torch.equal(Sets.cat([sets[:1], sets[1:]]).values, VALUES)
    assert Sets.cat([sets, sets]).sizes == (3, 0, 2, 3, 0, 2)


def test_a_tree_of_tensors_holds_sets() -> None:
    sets = Sets(VALUES, LENGTHS)
    halved = tree_map(lambda part: part / 2 if part.is_floating_point() else part, {"bag": sets})["bag"]
    assert torch.equal(halved.values, VALUES / 2) and halved.sizes == (3, 0, 2)
    assert tree_map(lambda part: tuple(part.shape), sets).values == (5, 2)


def test_real_elements_need_not_come_first() -> None:
    mask_BN = torch.tensor([[False, True, True], [True, False, True]])
    sets = Sets.from_padded(torch.arange(6.0).view(2, 3), mask_BN)
    assert [one.tolist() for one in sets.split()] == [[1, 2], [3, 5]]


def test_where_each_element_is() -> None:
    sets = Sets(VALUES, LENGTHS)
    assert len(sets) == sets.batch_size == 3
    assert sets.set_index.tolist() == [0, 0, 0, 2, 2]
    assert sets.position.tolist() == [0, 1, 2, 0, 1]
    assert sets.offsets.tolist() == [0, 3, 3]
    assert sets.spread(torch.tensor([7, 8, 9])).tolist() == [7, 7, 7, 9, 9]


def test_moving_keeps_the_sizes_and_a_dtype_changes_the_values_alone() -> None:
    moved = Sets(VALUES, LENGTHS).to(torch.float64).to("cpu")
    assert moved.values.dtype == torch.float64 and moved.lengths.dtype == torch.int64
    assert moved.sizes == (3, 0, 2)


def test_lengths_of_the_host_join_values_of_a_device_and_cost_no_wait() -> None:
    sets = Sets(VALUES.to("meta"), LENGTHS)  # from a meta tensor nothing can be read back
    assert sets.lengths.device.type == "meta"
    assert sets.sizes == (3, 0, 2)
    assert sets.to("meta").pad().shape == (3, 3, 2)


def test_sets_travel_between_processes_with_what_they_learned() -> None:
    sets = Sets(VALUES, LENGTHS)
    there = pickle.loads(pickle.dumps(sets.with_values(sets.spread(sets.lengths))))
    assert there.values.tolist() == [3, 3, 3, 2, 2] and there.sizes == (3, 0, 2)


@pytest.mark.parametrize("lengths", [[3, 1], [6, -1], [3.0, 2.0]])
def test_lengths_that_do_not_fit_are_refused(lengths: list) -> None:
    with pytest.raises(DataError, match="lengths"):
        Sets(VALUES, torch.tensor(lengths))


@pytest.mark.parametrize("mask", [torch.ones(1, 5, dtype=torch.uint8), torch.ones(5, 1, dtype=torch.bool)])
def test_a_mask_of_another_kind_or_shape_is_refused(mask: Tensor) -> None:
    with pytest.raises(DataError, match=r"torch\.bool"):
        Sets.from_padded(VALUES[None], mask)


ONE_SET: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(0),
    "mean": lambda x: x.mean(0),
    "max": lambda x: x.amax(0),
    "min": lambda x: x.amin(0),
    "std": lambda x: x.std(0, correction=0),
    "logsumexp": lambda x: x.logsumexp(0),
}


@pytest.mark.parametrize("name", ONE_SET)
def test_pool_reduces_one_set_at_a_time_and_gives_0_for_an_empty_one(name: str) -> None:
    reduce = ONE_SET[name]
    pooled = Pool(name)(Sets(VALUES, LENGTHS))
    expected = torch.stack([reduce(VALUES[:3]), torch.zeros(2), reduce(VALUES[3:])])
    torch.testing.assert_close(pooled, expected)


def test_pool_puts_several_reductions_side_by_side_and_refuses_unknown_ones() -> None:
    sets = Sets(VALUES, LENGTHS)
    both = Pool("mean", "max")(sets)
    assert torch.equal(both, torch.cat([Pool("mean")(sets), Pool("max")(sets)], dim=1))
    with pytest.raises(ConfigError, match="median"):
        Pool("mean", "median")


def test_equal_elements_have_a_deviation_of_0_with_gradient_0() -> None:
    values = torch.full((3, 1), 2.5, requires_grad=True)
    deviation = segment_std(Sets(values, torch.tensor([1, 2])))
    deviation.sum().backward()
    assert deviation.tolist() == [[0], [0]] and values.grad.tolist() == [[0]] * 3  # type: ignore[union-attr]


def test_half_precision_is_added_up_in_float32() -> None:
    # In bfloat16 itself a running sum of ones stops at 256, where 1 is half a unit of the last place.
    ones = torch.ones(1001, 1, dtype=torch.bfloat16)
    means = segment_mean(Sets(ones, torch.tensor([1000, 1])))
    assert means.dtype == torch.bfloat16 and means.tolist() == [[1], [1]]
    hundreds = torch.full((1001, 1), 100, dtype=torch.float16)  # float16 ends at 65504
    assert segment_mean(Sets(hundreds, torch.tensor([1000, 1]))).tolist() == [[100], [100]]


@pytest.mark.parametrize("lengths", [[2, 0, 2], [2, 2]])  # ragged, and of one size
@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_what_is_not_finite_shows_in_its_own_set_alone(name: str, odd: float, lengths: list[int]) -> None:
    reduce = REDUCTIONS[name]
    pooled = reduce(Sets(torch.tensor([[1.0], [odd], [3], [4]]), torch.tensor(lengths)))
    one = ONE_SET[name]
    torch.testing.assert_close(pooled[0], one(torch.tensor([[1.0], [odd]])), equal_nan=True)
    torch.testing.assert_close(pooled[-1], one(torch.tensor([[3.0], [4]])))


def test_a_set_of_minus_infinities_has_that_logarithm() -> None:
    lowest = torch.full((3, 1), -torch.inf)
    assert REDUCTIONS["logsumexp"](Sets(lowest, torch.tensor([1, 2]))).tolist() == [[-torch.inf]] * 2


@pytest.mark.parametrize("lengths", [[70000, 1], [70000]])
def test_a_large_set_of_half_precision_is_pooled_like_a_small_one(lengths: list[int]) -> None:
    ones = Sets(torch.ones(sum(lengths), 3, dtype=torch.float16), torch.tensor(lengths))
    pooled, weights = AttentionPool(3).half()(ones, return_attention=True)
    assert pooled.dtype == torch.float16
    torch.testing.assert_close(pooled, torch.ones_like(pooled))
    torch.testing.assert_close(segment_sum(weights), torch.ones(len(lengths)), rtol=1e-3, atol=0)
    largest = REDUCTIONS["logsumexp"](ones)[0]
    torch.testing.assert_close(largest, torch.full((3,), 70000.0).log().half() + 1)
    slots = SlotAttention(3)
    exact, half = slots(ones.to(torch.float32)), slots.half()(ones)
    torch.testing.assert_close(half.float(), exact, rtol=0.01, atol=0.01)


def test_set_norm_of_large_values_in_half_precision() -> None:
    values = torch.tensor([[600.0, -600], [0, 300]], dtype=torch.float16)
    normed = SetNorm(2).half()(Sets(values, torch.tensor([2]))).values
    torch.testing.assert_close(normed, SetNorm(2)(Sets(values.float(), torch.tensor([2]))).values.half())


def test_softmax_of_large_scores_stays_finite() -> None:
    weights = segment_softmax(Sets(torch.tensor([1e4, 1e4, -1e4]), torch.tensor([3, 0])))
    assert weights.values.tolist() == [0.5, 0.5, 0]


def test_fspool_weighs_sorted_features_by_interpolated_rank() -> None:
    pool = FSPool(2, pieces=2)
    with torch.no_grad():
        pool.weight.copy_(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    # Ranks 0, 1/2, 1 of three elements meet the three points; two elements meet the first and the last.
    expected = [
        [1 * 6 + 2 * 2 + 3 * 1, 10 * 4 + 20 * 4 - 30 * 4],
        [0, 0],
        [1 * 5 - 3 * 5, 10 * 1.5 + 30 * 0.5],
    ]
    torch.testing.assert_close(pool(Sets(VALUES, LENGTHS)), torch.tensor(expected, dtype=torch.float32))
