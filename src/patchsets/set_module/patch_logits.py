"""Classification by the evidence of each patch alone."""

from torch import Tensor, nn

from patchsets.set_module.segment import segment_mean
from patchsets.set_module.sets import Sets


class PatchLogits(nn.Module):
    """Classify each element and average: sets of `[D]` to `[B, classes]` (BagNet, Brendel and Bethge 2019).

    `return_logits` adds the elements' own, sets of `[classes]`: placed where the patches were cut they are a
    map of the evidence, whose mean is exactly the answer. An empty set gives 0.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(dim, classes)

    def forward(self, sets: Sets, return_logits: bool = False) -> Tensor | tuple[Tensor, Sets]:
        logits = sets.with_values(self.classify(sets.values))
        return (segment_mean(logits), logits) if return_logits else segment_mean(logits)
