"""The classic sets of multiple-instance learning: one file, its own folds, bad files refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import make_mil_file

from patchsets.data.mil import MilFile
from patchsets.model.abmil import Abmil
from patchsets.set_module import Sets
from workbench.common.errors import ConfigError, DataError


def read(path: Path, **words: Any) -> MilFile:
    data = MilFile(4, 0, str(path), **words)
    data.find_files()
    data.setup()
    return data


def test_the_folds_are_those_of_the_file(tmp_path: Path) -> None:
    path = make_mil_file(tmp_path / "mil.npz")
    data = read(path, fold=1, repetition=1)
    assert data.rows["test"].tolist() == list(range(10)) and set(data.rows) == {"train", "test"}
    assert data.splits["train"].index.tolist() == list(range(10)) and data.file_name("train", 0) == "bag 10"
    assert data.val_dataloader() == [] and data.classes == ["0", "1"]
    held = read(path, val_fraction=0.4)
    assert len(held.rows["val"]) == 4 and not set(held.rows["val"]) & set(held.rows["test"])


def test_features_are_standardized_by_the_training_bags_alone(tmp_path: Path) -> None:
    path = make_mil_file(tmp_path / "mil.npz")
    data, raw = read(path), read(path, standardized=False)
    train, test = data.splits["train"].values, data.splits["test"].values
    assert torch.allclose(train.mean(0), torch.zeros(5), atol=1e-6)
    assert torch.allclose(train.std(0, correction=0), torch.ones(5), atol=1e-5)
    deviation, mean = torch.std_mean(raw.splits["train"].values, dim=0, correction=0)
    assert torch.allclose(test, (raw.splits["test"].values - mean) / deviation, atol=1e-5)


def test_another_file_is_judged_whole_unless_its_scale_is_unknown(tmp_path: Path) -> None:
    path = make_mil_file(tmp_path / "mil.npz")
    other = MilFile(4, 0, str(path), standardized=False)
    other.test_all(["0", "1"], {})
    other.setup()
    assert len(other.splits["test"].label) == 20
    with pytest.raises(DataError, match=r"data\.standardized=false"):
        MilFile(4, 0, str(path)).test_all(["0", "1"], {})


def test_a_fold_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = make_mil_file(tmp_path / "mil.npz")
    with pytest.raises(ConfigError, match=r"data.fold: 2 is none of the folds of the data, which are 0, 1"):
        read(path, fold=2)
    with pytest.raises(ConfigError, match=r"data.repetition: 2 is not from 0 to 1"):
        read(path, repetition=2)
    with pytest.raises(ConfigError, match=r"data.root: say which file holds the bags"):
        MilFile(4, 0, None).find_files()


def test_what_is_wrong_with_a_file_is_named_at_once(tmp_path: Path) -> None:
    path = make_mil_file(tmp_path / "mil.npz")
    arrays = dict(np.load(path))
    arrays["values"][[7, 9], 2] = np.nan
    arrays["lengths"][[4, 5]] = [0, 6]
    arrays["test"][1, 0, 3] = True
    np.savez(path, **arrays)
    said = r"bag 3 is not .* once in every .*; bags without rows: 4; NaN or infinite numbers in rows 7, 9 of"
    with pytest.raises(DataError, match=said):
        read(path)
    np.savez(path, values=arrays["values"])
    with pytest.raises(DataError, match="has no lengths, label, test; it needs"):
        read(path)
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(DataError, match="cannot be read"):
        read(path)


@pytest.mark.parametrize("pool", ["attention", "gated", "mean"])
def test_weights_of_the_network_of_the_paper_are_those_it_pools_by(pool: Any) -> None:
    torch.manual_seed(0)
    network = Abmil(5, 2, [8, 4], pool=pool).eval()
    sets = Sets(torch.randn(7, 5), torch.tensor([3, 4]))
    weights, encoded = network.attention(sets), network.encode(sets).values
    pooled = [(weights[rows, None] * encoded[rows]).sum(0) for rows in (slice(0, 3), slice(3, 7))]
    assert torch.allclose(network(sets), network.classify(torch.stack(pooled)), atol=1e-6)
    assert torch.allclose(weights[:3].sum(), torch.ones(()))
