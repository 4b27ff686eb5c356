"""How much each element of a set mattered for the answer.

Shapes: B sets, T elements of all sets, D features, C classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from patchsets.set_module import Sets


def element_weights(network: nn.Module, sets: Sets) -> tuple[Tensor, str]:
    """Return a weight for each element `[T]`, adding up to 1 over each set, and in words what they are.

    The network's own `attention(sets)` where it has one, else the length of the gradient of its answer.
    """
    attention: Callable[[Sets], Tensor] | None = getattr(network, "attention", None)
    if attention is not None:
        with torch.no_grad():
            return attention(sets).float(), "attention of the pooling to each element"
    return gradient_weights(network, sets), "gradient of the answer with respect to each element"


def gradient_weights(network: nn.Module, sets: Sets) -> Tensor:
    """Return the length of the answer's gradient by each element `[T]`, adding up to 1 over each set.

    A saliency map (Simonyan et al. 2014). Where no element has a gradient, all share alike.
    """
    with torch.enable_grad():
        values_TD = sets.values.detach().requires_grad_()
        logits_BC = network(sets.with_values(values_TD))
        (gradient_TD,) = torch.autograd.grad(logits_BC.amax(dim=1).sum(), values_TD)
    length_T = gradient_TD.float().flatten(1).norm(dim=1) + torch.finfo(torch.float32).tiny
    total_B = length_T.new_zeros(len(sets)).index_add(0, sets.set_index, length_T)
    return length_T / sets.spread(total_B)
