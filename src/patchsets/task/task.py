"""What a task of sets is: three stages, a loss, a judgement of whole splits; a subclass changes any of them.

Everything that Lightning and the run folder want of a task stands in `workbench/train/base.py`.
"""

import logging
import math
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from patchsets.data.batch import Batch, not_finite
from patchsets.data.encoded_images import compute_features, load_rows_only
from patchsets.model.encoded import EncodedImages, EncodedPatches
from patchsets.model.pretrained import encoder_of, is_described_by, make_encoder
from patchsets.task.augmented import show_augmented
from patchsets.task.examination import Judged
from patchsets.task.instances import instance_metrics, look_at_instances
from patchsets.task.report import write_report
from workbench.common.errors import ConfigError, nearest
from workbench.config.compatibility import takes_patches
from workbench.distributed.gathering import gather, gather_rows
from workbench.train.base import RunTask
from workbench.train.summary_table import no_better

log = logging.getLogger(__name__)
Metric = Callable[[Tensor, Tensor], Any]  # from outputs and labels of a whole split to one number


class Task(RunTask):
    """Learns from sets; a subclass says what the loss is and how the network is judged.

    `metrics` are further numbers of a whole split: names of `known_metrics`, or by a name of one's own what
    computes each (None: the known one of that name), such as a class of torchmetrics. `learning_rates` gives
    parts of the network a share of `hparams.learning_rate`, by how their parameters' names begin:
    `{encoder: 0.1}`; 0 freezes a part. `encoder` (any that make_encoder takes) looks at the patches, or whole
    images, of the data in the network's place; it is frozen unless it has a share.
    """

    known_metrics: ClassVar[Sequence[str]] = ()  # what `named_metric` can compute

    def __init__(
        self,
        *arguments: Any,
        metrics: list[str] | Mapping[str, Metric | None] | None = None,
        learning_rates: Mapping[str, float] | None = None,
        encoder: Any = None,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.metrics = metrics if isinstance(metrics, Mapping) else dict.fromkeys(metrics or [])
        self._check_metrics()
        self.learning_rates = dict(learning_rates or {})
        if encoder is not None:
            self.make_network = self._encoding(self.make_network, encoder)
        if takes_patches(self.make_network):
            self.data.as_patches = True  # type: ignore[attr-defined]  # of data with patches
        self.pretrained: Mapping[str, Tensor] | None = None  # with which a new network's encoder begins
        self.encoder_description: Mapping[str, Any] | None = None
        self.tested: Judged | None = None
        self._judged: list[tuple[Tensor, Tensor, Tensor]] = []
        self._instances: dict[int, Any] = {}

    # The three stages

    def fetch_data(self) -> None:
        """Look up or download the data; once per machine."""
        self.data.prepare_data()

    def preprocessing_train(self) -> None:
        """Read the data and split them; once per process."""
        self.data.setup()

    def run(self, trainer: Trainer, resume_from: Path | None = None) -> dict[str, float]:
        """Train, then test the best checkpoint; return its metrics."""
        trainer.fit(self, ckpt_path=resume_from, weights_only=True)
        folder = Path(trainer.default_root_dir)
        best = folder / "checkpoints" / "best.ckpt"
        weights = best if best.is_file() else None
        metrics = trainer.test(self, ckpt_path=weights, verbose=False, weights_only=True)[0]
        for line in no_better(metrics):
            log.warning("no better: %s", line, extra={"only_in_file": True})  # the closing table says it too
        is_kept = not trainer.fast_dev_run  # type: ignore[attr-defined]  # set by Trainer's own connector
        if is_kept and trainer.is_global_zero:
            self.report(folder)
        return dict(metrics)

    def training_labels(self) -> Tensor | None:
        """Return the labels of the training split; None where the data do not hold them together."""
        return getattr(getattr(self.data, "splits", {}).get("train"), "label", None)

    # The network and its loss

    def _encoding(self, network: Callable[..., nn.Module], encoder: Any) -> Callable[..., nn.Module]:
        """Return what makes a network that is given what an encoder sees in patches, or in whole images."""
        has_patches = getattr(self.data, "cutter", None) is not None
        return partial(EncodedPatches if has_patches else EncodedImages, network=network, encoder=encoder)

    def read_pretrained(self, kept: Mapping[str, Any] | None) -> None:
        encoder = getattr(self.make_network, "keywords", {}).get("encoder")
        if encoder is None or isinstance(encoder, nn.Module):
            return
        described = (kept or {}).get("encoder")
        if not is_described_by(encoder, described):
            made = make_encoder(encoder)
            self.pretrained, described = made.state_dict(), made.description
        self.encoder_description = described

    def encoder_arguments(self) -> dict[str, Any]:
        """Return `encoder`, what the network's is built of without its weights, where a word names one."""
        return {} if self.encoder_description is None else {"encoder": self.encoder_description}

    def configure_model(self) -> None:
        is_new = not hasattr(self, "network")
        super().configure_model()
        if is_new and self.pretrained is not None:
            encoder_of(self.network).load_state_dict(self.pretrained)  # type: ignore[union-attr]  # described

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if self._keeps_features():
            load_rows_only(self.data)  # type: ignore[arg-type]  # images, which alone are encoded

    def _keeps_features(self) -> bool:
        """Tell whether an encoder looks that never changes, at images that never change."""
        if getattr(self.make_network, "func", None) not in (EncodedPatches, EncodedImages):
            return False
        rates = [share for begin, share in self.learning_rates.items() if begin.startswith("encoder")]
        is_changed = any(getattr(self.data, name, None) for name in ("augment", "augment_patches"))
        return not (any(rates) or is_changed or self._is_short())

    def _is_short(self) -> bool:
        """Tell whether a trainer runs a batch or so, or there is none yet."""
        try:
            return bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]  # set by its own connector
        except RuntimeError:
            return True

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if not self._is_short() and self.trainer.is_global_zero:
            show_augmented(self.data, Path(self.trainer.default_root_dir))
        self._compute_features()

    def on_test_start(self) -> None:
        self._compute_features()

    def _compute_features(self) -> None:
        """Let a frozen encoder look once at every image: by now it has the weights of the checkpoint."""
        if self._keeps_features():
            network: Any = self.network
            compute_features(self.data, network.encode, network.encoder.identity(), self.device)  # type: ignore[arg-type]

    def network_arguments(self) -> dict[str, Any]:
        """Return `in_features`, how long a vector is, or for a network that takes patches their shape."""
        data: Any = self.data
        if not takes_patches(self.make_network):
            given = {"in_features": data.num_features}
        else:
            given = {"patch_shape": data.patch_shape, "place_features": data.cutter.place_features}
        return {**given, "out_features": self.num_outputs(), **self.encoder_arguments()}

    def num_outputs(self) -> int:
        """Return how many numbers the network gives for a set."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return one group for each share of the learning rate."""
        groups: dict[float, list[Tensor]] = {1.0: []}
        for name, parameter in self.named_parameters():
            name = name.removeprefix("network.").removeprefix("network.")
            shares = [share for begin, share in self.learning_rates.items() if name.startswith(begin)]
            share = shares[-1] if shares else float(parameter.requires_grad)
            parameter.requires_grad_(share > 0)
            if share > 0:
                groups.setdefault(share, []).append(parameter)
        rate = self.settings["learning_rate"]
        return [{"params": params, "lr": rate * share} for share, params in groups.items() if params]

    def describe_broken(self, split: str) -> dict[int, str]:
        file_name = getattr(self.data, "file_name", None)
        found: dict[int, str] = {}
        for raw in getattr(self.data, f"{split}_dataloader")():
            raw = self.transfer_batch_to_device(raw, self.device, 0)
            found |= not_finite(self.data.make_batch(raw, training=False))
        names = {row: f" ({file_name(split, row)})" if file_name else "" for row in found}
        return {row: f"{split} example {row}{names[row]} has {found[row]}" for row in sorted(found)}

    # How the network is judged

    def judge(self, output: Tensor, label: Tensor) -> dict[str, float]:
        """Return the metrics of a whole split, `loss` among them: outputs `[N, ...]`, labels `[N]`."""
        raise NotImplementedError

    def reference(self, tested: Judged) -> dict[str, float]:
        """Return what is known of the test split without the network, by name."""
        return {}

    def named_metric(self, name: str, output: Tensor, label: Tensor) -> dict[str, float]:
        """Return one of `known_metrics` of a whole split, by the names to log; nothing if undefined."""
        raise NotImplementedError

    def report(self, folder: Path) -> None:
        """Write predictions and figures of the tested network into its run folder."""
        if self.tested is not None:
            write_report(self, self.tested, folder)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        output = self.network(batch.input).float()
        label, index = batch.label.clone(), batch.index.clone()  # what a worker shares holds a file open
        self._judged.append((output, label, index))

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self.validation_step(batch, batch_index)
        self._instances |= look_at_instances(self.network, batch)

    def on_validation_epoch_end(self) -> None:
        self._log_judgement("val")

    def on_test_epoch_end(self) -> None:
        self._log_judgement("test")

    def _log_judgement(self, split: str) -> None:
        """Judge all sets of a split at once: exact, whatever the sizes of the batches."""
        output, label, index = (torch.cat(parts) for parts in zip(*self._judged, strict=True))
        self._judged.clear()
        index, output, label = gather_rows(index, output, label)
        judged = Judged(output, label, index)
        metrics = self.judge(output, label)
        metrics |= self._further_metrics(output, label)
        if not math.isfinite(metrics["loss"]):
            self.refuse_loss(split, metrics["loss"], index.tolist())
        if split == "test":
            self.tested = judged
            metrics |= self.reference(judged) | instance_metrics(ChainMap(*gather(self._instances)))
            self._instances = {}
        named = {f"{split}/{name}": value for name, value in metrics.items()}
        self.log_dict(named, batch_size=len(label), sync_dist=True)

    def _further_metrics(self, output: Tensor, label: Tensor) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, metric in self.metrics.items():
            known = self.named_metric(name, output, label) if metric is None else {}
            found |= known if metric is None else {name: _number(metric, output, label)}
        return found

    def _check_metrics(self) -> None:
        for name in (name for name, metric in self.metrics.items() if metric is None):
            if name not in self.known_metrics:
                close = nearest(name, self.known_metrics)
                there = close or f"; there is {', '.join(self.known_metrics)}"
                raise ConfigError(f"task.metrics: {type(self).__name__} has no {name}{there}")


def _number(metric: Metric, output: Tensor, label: Tensor) -> float:
    """Return one metric of a whole split; one of torchmetrics would add up the splits it has seen."""
    if hasattr(metric, "reset"):
        metric.reset()
    return float(metric(output, label))
