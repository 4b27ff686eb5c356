"""The blocks of the Set Transformer as its authors wrote them: padded, one `bmm`, three projections.

Only a mask is added, where sets differ in size, without which the padding would be attended to.
"""

import torch
from torch import Tensor, nn

from patchsets.set_module import ISAB, MAB, PMA, SAB


class PaddedMAB(nn.Module):
    """The multihead attention block on `[B, N, D]`, with the weights of a packed one."""

    def __init__(self, packed: MAB) -> None:
        super().__init__()
        self.heads = packed.heads
        dim = packed.project_query.out_features
        self.fc_q, self.fc_k, self.fc_v, self.fc_o = (nn.Linear(dim, dim) for _ in range(4))
        self.fc_q.load_state_dict(packed.project_query.state_dict())
        self.fc_o.load_state_dict(packed.feed_forward.state_dict())
        for part, name in enumerate(("weight", "bias")):
            key, value = list(packed.project_key_value.parameters())[part].detach().chunk(2)
            getattr(self.fc_k, name).data.copy_(key)
            getattr(self.fc_v, name).data.copy_(value)

    def forward(self, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.fc_q(query), self.fc_k(key), self.fc_v(key)
        q_, k_, v_ = (torch.cat(x.chunk(self.heads, 2), 0) for x in (q, k, v))
        scores = q_.bmm(k_.transpose(1, 2)) / q_.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.repeat(self.heads, 1)[:, None, :], -torch.inf)
        out = torch.cat((q_ + scores.softmax(2).bmm(v_)).chunk(self.heads, 0), 2)
        return out + self.fc_o(out).relu()


class PaddedSAB(nn.Module):
    def __init__(self, packed: SAB) -> None:
        super().__init__()
        self.block = PaddedMAB(packed.block)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.block(x, x, mask)


class PaddedISAB(nn.Module):
    def __init__(self, packed: ISAB) -> None:
        super().__init__()
        self.points = nn.Parameter(packed.points.detach().clone()[None])
        self.gather, self.scatter = PaddedMAB(packed.gather), PaddedMAB(packed.scatter)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.scatter(x, self.gather(self.points.repeat(len(x), 1, 1), x, mask), None)


class PaddedPMA(nn.Module):
    def __init__(self, packed: PMA) -> None:
        super().__init__()
        self.seeds = nn.Parameter(packed.seeds.detach().clone()[None])
        self.block = PaddedMAB(packed.block)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.block(self.seeds.repeat(len(x), 1, 1), x, mask)
