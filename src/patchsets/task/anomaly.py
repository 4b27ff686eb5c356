"""What the tasks of anomaly detection share: learn from good images, score, choose a threshold, report."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from patchsets.anomaly.detector import Detector, colour_range, milliseconds_per_image
from patchsets.anomaly.judged import Judge, JudgedImages
from patchsets.anomaly.metrics import evaluate
from patchsets.anomaly.predictions import read_predictions
from patchsets.anomaly.thresholds import Threshold, ThresholdMethod, choose_threshold
from patchsets.data.anomaly import AnomalyImages
from patchsets.data.batch import ImageBatch
from patchsets.model.pretrained import copy_encoder
from patchsets.task.anomaly_report import write_report
from patchsets.task.task import Task
from workbench.common.errors import ConfigError
from workbench.common.limits import OpenShare
from workbench.portable.model import POOLINGS
from workbench.run.metrics_file import read_metrics

ScoreMap = Literal["l2", "ssim", "l2+ssim", "own"]  # error per pixel, or own where the network has one
Pooling = Literal["mean", "max", "top1"]  # top1: the mean of the highest hundredth


class AnomalyTask(Task):
    """Finds images that are not like the good ones it was shown.

    A subclass says `training_values(batch)`: the loss first, then what else is logged; and which members its
    network `needs`, of which `maps(images [B, C, H, W] in 0..1)` gives the maps `[B, H, W]` to score by. It
    may replace `validation_values` (the same for held-out good images) and `untrained` (to compare with).

    Testing goes so: the best weights score the validation split, the threshold is chosen there, the test
    split is scored and judged by it. `deployable` is the network with all that was chosen.
    """

    needs: ClassVar[tuple[str, ...]] = ("maps",)
    needs_of_data: ClassVar[tuple[str, ...]] = ("kind", "mask", "preprocessing")  # that no other data have
    data: AnomalyImages

    def __init__(
        self,
        *arguments: Any,
        score_map: ScoreMap = "l2",
        pooling: Pooling = "top1",
        threshold: ThresholdMethod | float = "quantile",
        false_positive_rate: OpenShare = 0.05,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        if named.get("encoder") is not None:
            raise ConfigError("model.encoder: this network has no place for one; task=patch_memory has")
        if self.metrics:
            raise ConfigError("task.metrics: a detector has metrics of its own; leave task.metrics out")
        self.score_map, self.pooling = score_map, pooling
        self.threshold_method, self.false_positive_rate = threshold, false_positive_rate
        self.validation: JudgedImages
        self.judged: JudgedImages
        self.threshold: Threshold
        self._is_decided = False  # by a run that judged its own data
        self.untrained_auroc: float | None = None
        self._losses: list[tuple[dict[str, Tensor], int]] = []

    # What a subclass says

    def network_arguments(self) -> dict[str, Any]:
        return {"image_shape": self.data.image_shape, **self.encoder_arguments()}

    def training_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return the loss (first, with its gradient) and what else is logged of a training step, by name."""
        raise NotImplementedError

    def validation_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return the loss of good images that were held out, and what else is logged of them, by name."""
        return self.training_values(batch)

    def untrained(self) -> nn.Module | None:
        """Return the same network before training: what it scores is not learned. None where none is."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = self.make_network(**self.network_arguments()).to(self.device)
        copy_encoder(self.network, network)
        return network

    # Each of several ranks judges the whole of a split: scores, maps and threshold are those of all images

    def val_dataloader(self) -> Any:
        return self.data.val_dataloader()

    def test_dataloader(self) -> Any:
        return self.data.test_dataloader()

    def configure_model(self) -> None:
        super().configure_model()
        self._check_score_map()

    @torch.no_grad()
    def _check_score_map(self) -> None:
        """Raise ConfigError where the network has no such map: known from one image, before training."""
        network: Any = self.network
        chosen, was_training = self.score_map, network.training
        known = list(network.eval().maps(torch.zeros(1, *self.data.image_shape, device=self.device)))
        network.train(was_training)
        if chosen not in known:
            raise ConfigError(f"hparams.score_map: this network has no {chosen}; it has {', '.join(known)}")

    # Validation: the loss of good images alone decides which epoch is best, and when to stop

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:  # type: ignore[override]
        good = batch.label == 0
        if good.any():
            good_ones = ImageBatch(batch.input[good], batch.label[good], batch.index[good])
            self._losses.append((self.validation_values(good_ones), len(good_ones.label)))

    def on_validation_epoch_end(self) -> None:
        self._log_losses("val")

    def _log_losses(self, split: str) -> None:
        parts, self._losses = self._losses, []
        images = sum(size for _, size in parts)
        for name in parts[0][0] if parts else ():
            mean = float(sum(values[name].double() * size for values, size in parts) / images)
            if name == "loss" and not math.isfinite(mean):
                self.refuse_loss(split, mean)
            self.log(f"{split}/{name}", mean, batch_size=images)
            if name == "loss" and split == "val":
                self.log("val_loss", mean, batch_size=images)

    def on_train_epoch_end(self) -> None:
        means = self.step_log.means()
        for name, mean in means.items():
            self.log(f"train/{name}_epoch", mean, batch_size=1, sync_dist=True)
        if "loss" in means:
            self.log("train_loss", means["loss"], batch_size=1, sync_dist=True)

    # Test

    def on_test_start(self) -> None:
        """Score the validation split by the weights to be tested, and choose the threshold there.

        Other data than the run's are judged by the run's own threshold.
        """
        if self._is_decided:
            self._judges = {"trained": self._judge(self.network)}
            return
        judge = self._judge(self.network)
        for raw in self.val_dataloader():
            judge.add(
                self.data.make_batch(self.transfer_batch_to_device(raw, self.device, 0), training=False)
            )
        self.validation = judge.judged(self.data, "val")
        self.threshold = choose_threshold(self.threshold_method, self.validation, self.false_positive_rate)
        networks = {"trained": self.network, "untrained": self.untrained()}
        self._judges = {name: self._judge(net) for name, net in networks.items() if net is not None}

    def remember(self, folder: Path) -> None:
        """Take threshold and calibration from the predictions of a run."""
        _, self.validation, self.threshold = read_predictions(folder / "predictions.csv")
        self._is_decided = True

    def _judge(self, network: nn.Module) -> Judge:
        return Judge(network, self.score_map, self.pooling)

    def test_step(self, batch: ImageBatch, batch_index: int) -> None:  # type: ignore[override]
        self.validation_step(batch, batch_index)
        for judge in self._judges.values():
            judge.add(batch)

    def on_test_epoch_end(self) -> None:
        judged = {name: judge.judged(self.data, "test") for name, judge in self._judges.items()}
        self._judges.clear()
        self.judged = judged["trained"]
        self._log_losses("test")
        metrics = evaluate(self.judged, self.validation, self.threshold)
        if "untrained" in judged and "auroc" in metrics:
            self.untrained_auroc = evaluate(judged["untrained"], self.validation, self.threshold)["auroc"]
            metrics["untrained_auroc"] = self.untrained_auroc
        if not self._is_decided:
            metrics["milliseconds_per_image"] = self._milliseconds()
        self.log_dict({f"test/{name}": value for name, value in metrics.items()}, batch_size=len(self.judged))

    def _milliseconds(self) -> float:
        assert self.judged.images is not None
        images = torch.from_numpy(self.judged.images[: self.settings["batch_size"]])
        images_BHWC = images if images.ndim == 4 else images[..., None].expand(-1, -1, -1, 3)
        return milliseconds_per_image(self.detector(), images_BHWC.to(self.device))

    # What is left

    def report(self, folder: Path) -> None:
        from patchsets.figures import learning_curves

        rows = read_metrics(folder)
        extras = self.extras()
        if any(row.name.startswith("val/") for row in rows):
            extras["learning_curves"] = learning_curves(rows, *self.goal())
        write_report(folder, self.judged, self.validation, self.threshold, extras)

    def extras(self) -> dict[str, Any]:
        """Return further figures for the report by name, and AUROCs to stand beside the task's own."""
        return {} if self.untrained_auroc is None else {"untrained": self.untrained_auroc}

    def detector(self) -> Detector:
        """Return the tested network with its threshold, calibration scores and colours, on its device."""
        good = ~self.validation.is_anomaly
        assert self.validation.maps is not None
        return Detector(
            copy.deepcopy(self.network),
            self.data.image_shape[0],
            self.score_map,
            self.pooling,
            self.threshold.value,
            self.threshold.calibration,
            colour_range(self.validation.maps[good]),
        ).to(self.device).eval()  # fmt: skip

    def deployable(self) -> tuple[nn.Module, dict[str, Any]]:
        """Return the detector, and in plain values what it takes and how it decides."""
        detector = self.detector()
        return detector, {
            "kind": "anomaly",
            "preprocessing": self.data.preprocessing(),
            "classes": list(self.data.classes),
            "threshold": self.threshold.value,
            "threshold_method": self.threshold.method,
            "score_map": self.score_map,
            "pooling": self.pooling,
            "poolings": self._other_poolings(),
            "colour_range": detector.colour_range.tolist(),
            "data": self.data.fingerprint(),
        }

    def _other_poolings(self) -> dict[str, dict[str, Any]]:
        """Return the threshold and the calibration scores of each other pooling, by the same method."""
        if self.threshold.method == "manual":
            return {}
        found = {}
        for pooling in POOLINGS:
            validation = replace(self.validation, chosen=f"{self.score_map}/{pooling}")
            threshold = choose_threshold(self.threshold_method, validation, self.false_positive_rate)
            found[pooling] = {"threshold": threshold.value, "calibration": threshold.calibration.tolist()}
        return found
