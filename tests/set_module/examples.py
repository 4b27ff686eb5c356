"""One or more instances of every exported module, so that a new one joins the suite by being exported.

A module is made from its signature where its required arguments have the usual names; others, and the
variants worth testing, stand in the table. What cannot be made raises, and so fails the suite.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

import patchsets.set_module as set_module
from patchsets.set_module import ISAB, MAB, PMA, SAB, AttentionPool, DeepSets, Each, Pool, Sets, TopK
from patchsets.set_module.pooling import REDUCTIONS

DIM = 8
USUAL_ARGUMENTS = {"dim": DIM, "dim_in": DIM, "classes": 3}


class MABToReversed(MAB):
    """Attend to the same sets with features reversed, since the suite gives modules one batch of sets."""

    def forward(self, sets: Sets, return_attention: bool = False) -> Any:  # type: ignore[override]
        return super().forward(sets, sets.with_values(sets.values.flip(-1)), return_attention)


VARIANTS: dict[str, list[Callable[[], nn.Module]]] = {
    "MAB": [
        lambda: MABToReversed(DIM),
        lambda: MABToReversed(DIM, norm="layer"),
        lambda: MABToReversed(DIM, norm="set"),
    ],
    "SAB": [lambda: SAB(DIM), lambda: SAB(DIM, norm="set", project_output=True)],
    "ISAB": [lambda: ISAB(DIM, points=3), lambda: ISAB(DIM, points=2, norm="set")],
    "PMA": [lambda: PMA(DIM), lambda: PMA(DIM, seeds=3, feed_forward=True, norm="layer")],
    "Pool": [*(partial(Pool, name) for name in REDUCTIONS), lambda: Pool("mean", "max")],
    "AttentionPool": [
        lambda: AttentionPool(DIM),
        lambda: AttentionPool(DIM, hidden=5, gated=False, activation="relu"),
        lambda: AttentionPool(DIM, branches=3),
    ],
    "TopK": [lambda: TopK(3)],
    "Each": [lambda: Each(nn.Linear(DIM, 5), nn.ReLU())],
    "DeepSets": [lambda: DeepSets(nn.Linear(DIM, 5), nn.Linear(5, 3))],
}


def exported() -> dict[str, type[nn.Module]]:
    """Return every exported module class by name."""
    found = {name: getattr(set_module, name) for name in set_module.__all__}
    return {name: it for name, it in found.items() if inspect.isclass(it) and issubclass(it, nn.Module)}


def makers(name: str, module: type[nn.Module]) -> Iterator[Callable[[], nn.Module]]:
    """Return what makes a module's variants; raises `TypeError` where nobody said how."""
    if name in VARIANTS:
        yield from VARIANTS[name]
        return
    required = [
        parameter.name
        for parameter in inspect.signature(module).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    unknown = [argument for argument in required if argument not in USUAL_ARGUMENTS]
    if unknown:
        raise TypeError(f"{name} is exported, but the suite cannot make one: add {unknown} to VARIANTS")
    yield partial(module, **{argument: USUAL_ARGUMENTS[argument] for argument in required})


def make(maker: Callable[[], nn.Module]) -> nn.Module:
    """Make a module in double precision, with parameters that are not at a special point."""
    torch.manual_seed(0)
    module = maker().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module
