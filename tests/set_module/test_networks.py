"""Networks over sets, held against their papers' formulas for one set at a time, and as peers expect them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.model.abmil import Abmil
from patchsets.model.attention_pool import AttentionPool
from patchsets.model.clam import Clam
from patchsets.model.dsmil import Dsmil
from patchsets.set_module import Sets

DIM, CLASSES, WIDTH = 6, 3, 10
MAKERS: dict[str, Callable[[], nn.Module]] = {
    "clam_single": lambda: Clam(DIM, CLASSES, WIDTH, 7, instances=2),
    "clam_multi": lambda: Clam(DIM, CLASSES, WIDTH, 7, "multi", instances=2),
    "dsmil": lambda: Dsmil(DIM, CLASSES, WIDTH, 7),
    "abmil": lambda: Abmil(DIM, CLASSES, [WIDTH, WIDTH], 7),
    "branches": lambda: AttentionPool(DIM, CLASSES, WIDTH, depth=1, branches=4),
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MAKERS[name]().double().eval()


def bags(*lengths: int) -> Sets:
    generator = torch.Generator().manual_seed(1)
    return Sets(
        torch.randn(sum(lengths), DIM, dtype=torch.float64, generator=generator), torch.tensor(lengths)
    )


@pytest.mark.parametrize("name", MAKERS)
def test_no_order_and_no_other_set_changes_an_answer(name: str) -> None:
    network, sets = made(name), bags(1, 50, 5, 130)
    expected = network(sets)
    shuffled = [one[torch.randperm(len(one), generator=torch.Generator().manual_seed(2))] for one in sets]
    torch.testing.assert_close(network(Sets.from_list(shuffled)), expected)
    torch.testing.assert_close(torch.cat([network(Sets.from_list([one])) for one in sets]), expected)
    weights = sets.with_values(network.attention(sets)[:, None])
    torch.testing.assert_close(
        torch.stack([one.sum() for one in weights]), torch.ones(4, dtype=torch.float64)
    )


@pytest.mark.parametrize("name", MAKERS)
def test_what_a_network_looks_at_is_the_softmax_of_its_scores(name: str) -> None:
    network, sets = made(name), bags(1, 50, 5)
    logits, weight_T = network.forward_and_attention(sets)
    torch.testing.assert_close(logits, network(sets))
    torch.testing.assert_close(weight_T, network.attention(sets))
    scores = network.scores(sets)
    assert scores.shape[0] == 56 and scores.dim() == 2
    softmax = torch.cat([one.softmax(0).mean(1) for one in sets.with_values(scores)])
    torch.testing.assert_close(weight_T, softmax)


@pytest.mark.parametrize("name", ["clam_single", "clam_multi", "dsmil"])
def test_a_loss_of_its_own_reaches_every_parameter_that_only_training_uses(name: str) -> None:
    network, sets = made(name), bags(3, 50, 5)
    logits, loss, share = network.forward_and_loss(sets, torch.tensor([0, 2, 1]))
    torch.testing.assert_close(logits, network(sets))
    assert 0 < share <= 1
    ((1 - share) * logits.sum() + share * loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.dim() > 1)


def test_dsmil_is_that_of_the_paper() -> None:
    network, sets = made("dsmil"), bags(7, 4)
    for x, found in zip(sets, network(sets), strict=True):
        h = network.encode[0](x).relu()
        scores, q = network.score(h), network.query(h)
        critical = q[scores.argmax(0)]
        attention = (q @ critical.T / q.shape[1] ** 0.5).softmax(0)
        second = network.classify((attention.T @ h)[None])[0, :, 0]
        torch.testing.assert_close(found, (scores.max(0).values + second) / 2)


def test_clam_asks_of_its_own_class_the_most_and_the_least_attended() -> None:
    network, x = made("clam_multi"), bags(9)
    label = torch.tensor([1])
    _, loss, _ = network.forward_and_loss(x, label)
    h = network.encode[0](x.values).relu()
    _, weights = network.pool(x.with_values(h), return_attention=True)
    expected: list[Tensor] = []
    for class_ in range(CLASSES):
        order = weights.values[:, class_].argsort(descending=True)
        logits = network.tell_instances[class_](h)
        own = torch.tensor([1, 1] if class_ == 1 else [0, 0])
        expected.append(F.cross_entropy(logits[order[:2]], own, reduction="none"))
        if class_ == 1:
            expected.append(F.cross_entropy(logits[order[-2:]], torch.tensor([0, 0]), reduction="none"))
    torch.testing.assert_close(loss, torch.cat(expected).mean())


def test_a_set_of_one_element_has_nothing_to_cluster() -> None:
    network = made("clam_single").train()
    _, loss, _ = network.forward_and_loss(bags(1, 1), torch.tensor([0, 1]))
    assert loss.item() == 0
