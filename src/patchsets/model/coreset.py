"""Which patches a memory keeps: few that stand for all. Shapes: N patches, D features, M kept."""

import torch
from torch import Tensor


def random_coreset(patches_ND: Tensor, size: int) -> Tensor:
    """Draw M patches: index `[M]`, from torch's generator."""
    return torch.randperm(len(patches_ND), device=patches_ND.device)[:size]


def greedy_coreset(patches_ND: Tensor, size: int) -> Tensor:
    """Choose M patches so that none is far from a chosen one: index `[M]`.

    Each next one is the patch farthest from all chosen so far (k-center greedy: Gonzalez 1985; Sener and
    Savarese 2018; as the coreset of PatchCore, Roth et al. 2022), from a random first.
    """
    squares_N = patches_ND.square().sum(dim=1)
    distance_N = torch.full_like(squares_N, torch.inf)
    chosen = torch.randint(len(patches_ND), (1,), device=patches_ND.device)
    indices = [chosen]
    for _ in range(min(size, len(patches_ND)) - 1):
        centre_D = patches_ND[chosen[0]]
        to_centre_N = squares_N + squares_N[chosen] - 2 * (patches_ND @ centre_D)
        torch.minimum(distance_N, to_centre_N, out=distance_N)
        distance_N[chosen] = -1  # never twice, whatever the rounding
        chosen = distance_N.argmax(keepdim=True)
        indices.append(chosen)
    return torch.cat(indices)


CORESETS = {"greedy": greedy_coreset, "random": random_coreset}
