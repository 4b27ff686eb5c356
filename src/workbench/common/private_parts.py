"""Every private part of a library that this workspace reaches into; tests/test_private_parts.py knows each.

A new release may rename any of them: then its test fails, and this is the file to mend. (What reaches into
how Hydra composes stands in config/composition.py and completion/, each with tests of its own.)
"""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def untraced(function: Function) -> Function:
    """Return `torch.compiler.disable(function)`; the compiler, a second's import, loads at its first call.

    torch._disable_dynamo, by which torch.optim does the same.
    """
    import torch

    return torch._disable_dynamo(function)  # type: ignore[return-value]


def register_tree(kind: type, parts: Callable[[Any], list[Any]], whole: Callable[..., Any]) -> None:
    """Let `tree_map` and torch.export look into objects of a class: torch.utils._pytree.

    Its public form, torch.export.register_dataclass, takes every field of the class.
    """
    from torch.utils import _pytree

    _pytree.register_pytree_node(
        kind,
        lambda one: (parts(one), None),
        lambda leaves, _: whole(*leaves),
        serialized_type_name=f"{kind.__module__}.{kind.__qualname__}",
    )


def sizes_of_one_are_like_any() -> Any:
    """Let torch.export assume nothing of a size that is free: else a model refuses images of a single patch.

    torch.fx.experimental._config.backed_size_oblivious; a context manager.
    """
    from torch.fx.experimental import _config

    return _config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]  # put there at run time


def shared_bytes(count: int) -> Any:
    """Return a tensor of `count` bytes that another process can be sent without a copy.

    torch.UntypedStorage._new_shared, of which torch's own collation makes a worker's batches.
    """
    import torch

    return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(count))


def without_signal_handlers(trainer: Any) -> Any:
    """Return a Lightning trainer that leaves SIGTERM to us: its handler waits for ranks that may be gone.

    Trainer._signal_connector.register_signal_handlers; Lightning has no public switch.
    """
    assert callable(trainer._signal_connector.register_signal_handlers)
    trainer._signal_connector.register_signal_handlers = lambda: None
    return trainer


def start_loader_anew(trainer: Any) -> None:
    """Let a resumed Lightning trainer fetch the batches that its epoch still lacks.

    Trainer.fit_loop._load_combined_loader_states, which Lightning leaves out where the loader was made before
    the checkpoint was read, to count its batches; Trainer.fit_loop._data_fetcher.
    """
    trainer.fit_loop._load_combined_loader_states()
    iter(trainer.fit_loop._data_fetcher)


def batches_that_stepped(trainer: Any) -> int:
    """Return the training steps since the run's start, however many optimizers took each (or none).

    Trainer.fit_loop.epoch_loop._batches_that_stepped; global_step counts every optimizer's.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def find_unused_parameters(strategy: Any) -> None:
    """Let DDP allow for parameters without a gradient: DDPStrategy._ddp_kwargs, once the strategy is made."""
    strategy._ddp_kwargs["find_unused_parameters"] = True


def id_in_storage(trial: Any) -> int:
    """Return by what Optuna's storage knows a trial, which is not its number: Trial._trial_id."""
    return int(trial._trial_id)


def raised_by(job: Any) -> Any:
    """Return what a Hydra job raised; its public attribute raises it again: JobReturn._return_value."""
    return job._return_value


def verify_before_fit(trainer: Any, task: Any) -> None:
    """Let Lightning refuse now what it would refuse at the start of `trainer.fit(task)`.

    trainer.configuration_validator._verify_loop_configurations, of a trainer in the state of fitting.
    """
    from pytorch_lightning.trainer.configuration_validator import _verify_loop_configurations
    from pytorch_lightning.trainer.states import TrainerFn

    trainer.strategy.connect(task)
    trainer.fit_loop.epoch_loop.val_loop._data_source.instance = task
    trainer.state.fn, earlier = TrainerFn.FITTING, trainer.state.fn
    try:
        _verify_loop_configurations(trainer)
    finally:
        trainer.state.fn = earlier
