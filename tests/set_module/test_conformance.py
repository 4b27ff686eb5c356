"""Every exported module keeps every property of modules over sets."""

from collections.abc import Callable

import pytest
from examples import exported, make, makers
from properties import PROPERTIES, compiled
from torch import nn

Property = Callable[[nn.Module], None]


@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", exported())
def test_every_module_keeps_every_property(name: str, property_: Property) -> None:
    variants = list(makers(name, exported()[name]))
    for maker in variants[:1] if property_ is compiled else variants:  # compiling one takes seconds
        property_(make(maker))
