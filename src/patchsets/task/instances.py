"""Does the attention find the elements that a label of their own marks? By AUROC, in each set and overall.

Shapes: n elements of one set.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from patchsets.anomaly.auroc import placements
from patchsets.task.examination import of_elements

Instances = Mapping[int, tuple[np.ndarray, np.ndarray]]  # of each row its weights and labels [n]


def look_at_instances(network: nn.Module, batch: Any) -> Instances:
    """Return of each set of a batch the weights (1 is an equal share) and the labels of its elements.

    Nothing where the network says no attention, or the data know no labels of elements.
    """
    if getattr(batch, "element_label", None) is None:
        return {}
    if (weight_T := of_elements(network, "attention", batch.sets)) is None:
        return {}
    share_T = weight_T * batch.sets.spread(batch.sets.lengths)
    parts = (part.split(batch.sets.sizes) for part in (share_T.cpu(), batch.element_label.cpu()))
    pairs = ((share.numpy(), label.numpy()) for share, label in zip(*parts, strict=True))
    return dict(zip(batch.index.tolist(), pairs, strict=True))


def instance_metrics(instances: Instances) -> dict[str, float]:
    """Return the AUROC of the weights for labels above 0; those below 0 are unknown, and do not count.

    `by_bag`: the mean over the sets that hold elements of both kinds. `overall`: of all elements together.
    What is undefined is left out.
    """
    known = [(share[label >= 0], label[label >= 0] > 0) for share, label in instances.values()]
    by_bag = [area for area in (_auroc(*bag) for bag in known) if not math.isnan(area)]
    found = {"instance_auroc/by_bag": float(np.mean(by_bag)) if by_bag else math.nan}
    if known:
        found["instance_auroc/overall"] = _auroc(*(np.concatenate(part) for part in zip(*known, strict=True)))
    return {name: area for name, area in found.items() if not math.isnan(area)}


def _auroc(share_n: np.ndarray, is_marked_n: np.ndarray) -> float:
    if not np.isfinite(share_n).all() or is_marked_n.all() or not is_marked_n.any():
        return math.nan
    return placements(share_n, is_marked_n).area
