"""The private parts of libraries that are reached into are there, and mean what we take them for."""

import subprocess
import sys

import optuna
import pytest
import pytorch_lightning as lightning
import torch
from hydra.core.utils import JobReturn, JobStatus
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from workbench.common import private_parts


@pytest.fixture
def trainer() -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )


def test_lightning_asks_its_connector_for_signal_handlers(trainer: lightning.Trainer) -> None:
    assert callable(_SignalConnector.register_signal_handlers)  # what is replaced below has not been renamed
    private_parts.without_signal_handlers(trainer)
    trainer._signal_connector.register_signal_handlers()  # type: ignore[attr-defined]


def test_lightning_has_its_loops_parts(trainer: lightning.Trainer) -> None:
    assert private_parts.batches_that_stepped(trainer) == 0
    assert "_data_fetcher" in vars(trainer.fit_loop)
    assert callable(trainer.fit_loop._load_combined_loader_states)


def test_torch_makes_memory_that_is_shared_from_the_start() -> None:
    room = private_parts.shared_bytes(300)
    assert room.shape == (300,) and room.dtype == torch.uint8 and room.is_shared()


def test_lightning_verifies_before_it_fits(trainer: lightning.Trainer) -> None:
    task = lightning.LightningModule()
    with pytest.raises(MisconfigurationException, match="training_step"):
        private_parts.verify_before_fit(trainer, task)
    assert trainer.state.fn is None


def test_ddp_takes_more_arguments_late() -> None:
    strategy = DDPStrategy()
    private_parts.find_unused_parameters(strategy)
    assert strategy._ddp_kwargs == {"find_unused_parameters": True}


def test_optuna_and_hydra() -> None:
    trial = optuna.create_study().ask()
    assert private_parts.id_in_storage(trial) == trial._trial_id
    error = RuntimeError("broke")
    assert private_parts.raised_by(JobReturn(status=JobStatus.FAILED, _return_value=error)) is error


def test_a_function_is_left_out_of_a_graph_and_the_compiler_is_not_loaded() -> None:
    code = "import sys, patchsets.set_module; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

    @private_parts.untraced
    def traced(values: torch.Tensor) -> bool:
        return torch.compiler.is_compiling()

    compiled = torch.compile(lambda values: (values + 1, traced(values)), backend="eager")
    assert compiled(torch.zeros(1))[1] is False
