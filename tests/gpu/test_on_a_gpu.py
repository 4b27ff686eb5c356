"""What only a GPU can show: `make test-gpu`. Without one each test says that it was skipped.

PATCHSETS_TEST_DEVICE=cpu runs what does not need one on the CPU, to try the tests themselves.
"""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from whole_command import Train, the_run

from patchsets.data.augmentation import WORDS
from patchsets.data.digits import Digits
from patchsets.model.cnn import Cnn
from patchsets.model.set_transformer import SetTransformer
from patchsets.set_module import ISAB, PMA, SAB, AttentionPool, FSPool, Sets, SlotAttention
from workbench.run.summary import read_summary

DEVICE = os.environ.get("PATCHSETS_TEST_DEVICE", "cuda")
IS_THERE = DEVICE != "cuda" or torch.cuda.is_available()
pytestmark = pytest.mark.skipif(not IS_THERE, reason="torch sees no GPU")
needs_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="torch's variable-length kernel needs a GPU")

DIM = 64
LENGTHS = [3, 0, 130, 1, 500, 70]
MODULES = {
    "SAB": lambda: SAB(DIM, heads=4),
    "ISAB": lambda: ISAB(DIM, heads=4),
    "PMA": lambda: PMA(DIM, heads=4),
    "AttentionPool": lambda: AttentionPool(DIM),
    "FSPool": lambda: FSPool(DIM),
    "SlotAttention": lambda: SlotAttention(DIM),
}


def sets_of(lengths: list[int], device: str, dtype: torch.dtype = torch.float32) -> Sets:
    values = torch.randn(sum(lengths), DIM, generator=torch.Generator().manual_seed(0))
    return Sets(values.to(device, dtype).requires_grad_(), torch.tensor(lengths))


def values_of(output: Sets | Tensor) -> Tensor:
    return output.values if isinstance(output, Sets) else output


def forward_and_gradient(module: nn.Module, sets: Sets) -> tuple[Tensor, Tensor]:
    output = values_of(module(sets))
    weight = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output)
    return output.float().cpu(), torch.autograd.grad((output * weight).sum(), sets.values)[0].float().cpu()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_gives_what_it_gives_on_a_cpu(name: str) -> None:
    torch.manual_seed(0)
    module = MODULES[name]()
    expected = forward_and_gradient(module, sets_of(LENGTHS, "cpu"))
    found = forward_and_gradient(module.to(DEVICE), sets_of(LENGTHS, DEVICE))
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)  # TF32 may be on


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["SAB", "ISAB", "PMA"])
def test_the_variable_length_kernel_agrees_with_float32(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().to(DEVICE)
    expected = forward_and_gradient(module, sets_of(LENGTHS, DEVICE))
    with torch.autocast("cuda", dtype):
        found = forward_and_gradient(module, sets_of(LENGTHS, DEVICE))
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


@needs_cuda
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_grows_with_the_elements_alone(name: str, dtype: torch.dtype) -> None:
    module = MODULES[name]().to(DEVICE)

    def peak(lengths: list[int]) -> int:
        sets = sets_of(lengths, DEVICE)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            forward_and_gradient(module, sets)
        return torch.cuda.max_memory_allocated() - before

    assert peak([8000, *[5] * 255]) < 2.5 * peak([*[36] * 255, 47])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_of_channels_changes_no_answer(layout: torch.memory_format) -> None:
    network = Cnn(3, 4, width=8, depth=2).eval()
    images = torch.rand(5, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    expected = network(images)
    found = network.to(DEVICE, memory_format=layout)(images.to(DEVICE, memory_format=layout))
    torch.testing.assert_close(found.cpu(), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("word", WORDS)
def test_a_batch_is_augmented_where_it_lies(word: str) -> None:
    data = Digits(8, 0, patch_size=3, stride=1, augment=word, augment_patches=word)
    data.setup()
    raw = data.splits["train"].take(torch.arange(8)).to(DEVICE)
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        drawn.append(data.make_batch(raw, training=True).sets.values)
    assert drawn[0].device.type == DEVICE and torch.equal(*drawn)
    assert not torch.equal(drawn[0], data.make_batch(raw, training=False).sets.values)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own imports
def test_a_compiled_network_gives_the_same() -> None:
    torch.manual_seed(0)
    network = SetTransformer(DIM, 3, width=32, depth=1, heads=2).to(DEVICE).eval()
    fast = torch.compile(network)
    for lengths in (LENGTHS, [5, 9], [40, 2, 77]):
        sets = sets_of(lengths, DEVICE)
        torch.testing.assert_close(fast(sets), network(sets), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_training_learns_and_goes_on(precision: str, train: Train, outputs: Path) -> None:
    accelerator = "gpu" if DEVICE == "cuda" else DEVICE
    words = [f"trainer.accelerator={accelerator}", f"trainer.precision={precision}", "loggers=[]"]
    train(*words, "hparams.max_epochs=6", "save_model=false")
    first = read_summary(the_run(outputs))["metrics"]
    assert first["test/accuracy"] > 0.5
    train(f"resume={the_run(outputs)}", "hparams.max_epochs=12")
    assert read_summary(the_run(outputs))["metrics"]["test/loss"] < first["test/loss"]
