"""An epoch on cached features of a frozen encoder beside one that encodes again.

python benchmarks/encoded_epochs.py        about two minutes

Both train the same network on the same patches of textures, side by side in this process.
"""

import os
import tempfile
import time
from typing import Any

import torch

from patchsets.data.encoded_images import compute_features, load_rows_only
from patchsets.data.textures import Textures
from patchsets.model.attention_pool import AttentionPool
from patchsets.model.encoded import EncodedPatches

CACHED_EPOCHS = 20


def epoch(data: Textures, network: EncodedPatches, optimizer: torch.optim.Optimizer) -> float:
    """Train for one epoch; return its seconds of CPU."""
    began = time.process_time()
    for raw in data.train_dataloader():
        batch: Any = data.make_batch(raw, training=True)
        loss = torch.nn.functional.cross_entropy(network(batch.sets), batch.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - began


def main() -> None:
    torch.set_num_threads(1)
    data = Textures(32, 0, 16, 16, windows=(40, 1, 1), coordinates=False)
    data.setup()
    data.as_patches = True

    def head(in_features: int, out_features: int) -> AttentionPool:
        return AttentionPool(in_features, out_features, width=64, depth=2)

    network = EncodedPatches(head, "lite0", data.patch_shape, 3)
    optimizer = torch.optim.Adam(network.network.parameters())
    again = epoch(data, network, optimizer)
    load_rows_only(data)
    began = time.process_time()
    compute_features(data, network.encode, network.encoder.identity(), torch.device("cpu"))
    once = time.process_time() - began
    epoch(data, network, optimizer)  # the first one reads the file
    cached = sum(epoch(data, network, optimizer) for _ in range(CACHED_EPOCHS)) / CACHED_EPOCHS
    patches = 120 * 36
    print(f"{patches:,} patches of 16 pixels, lite0, one thread")
    print(f"an epoch that encodes again       {again:8.2f} s")
    print(f"encoding once, val and test too    {once:8.2f} s")
    print(f"an epoch on what was encoded      {cached:8.3f} s   {again / cached:.0f} times faster")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        main()
