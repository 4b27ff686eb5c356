"""What `-m` varies: each swept word of the command line as a parameter that Optuna can suggest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from workbench.common.errors import ConfigError
from workbench.common.redaction import redact

if TYPE_CHECKING:
    from optuna.trial import Trial

Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Choices:
    """A finite list: `labels` are what Optuna and people see, `texts` what Hydra is told."""

    key: str
    labels: tuple[Plain, ...]
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key without Hydra's prefix."""
        return self.key.lstrip("+")

    def suggest(self, trial: "Trial") -> Plain:
        """Let the study choose."""
        chosen: Plain = trial.suggest_categorical(self.name, self.labels)
        return chosen

    def word(self, label: Plain) -> str:
        """Return the override that sets this choice."""
        place = next(i for i, known in enumerate(self.labels) if known is label or known == label)
        return f"{self.key}={self.texts[place]}"

    def words_to_check(self) -> list[str]:
        """Return an override for each choice."""
        return [f"{self.key}={text}" for text in self.texts]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both possible; whole ones where both are whole."""

    key: str
    low: float
    high: float
    step: float | None
    log: bool

    @property
    def name(self) -> str:
        """The key without Hydra's prefix."""
        return self.key.lstrip("+")

    def suggest(self, trial: "Trial") -> Plain:
        """Let the study choose."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def word(self, label: Plain) -> str:
        """Return the override that sets this value."""
        return f"{self.key}={label!r}"

    def words_to_check(self) -> list[str]:
        """Return an override for either end."""
        return [self.word(self.low), self.word(self.high)]


Parameter = Choices | Range


@dataclass(frozen=True)
class Space:
    """The words that hold for every trial, and the parameters that differ."""

    fixed: list[str]
    parameters: list[Parameter]
    for_hydra: list[str] = field(default_factory=list)  # flags and words that a trial's own command needs

    @property
    def is_finite(self) -> bool:
        """Tell whether every combination can be run."""
        return all(isinstance(parameter, Choices) for parameter in self.parameters)

    @property
    def size(self) -> int:
        """How many combinations there are, where there is an end to them."""
        return prod(len(p.labels) for p in self.parameters if isinstance(p, Choices))

    def words(self, values: dict[str, Any]) -> list[str]:
        """Return the overrides that set these values."""
        return [parameter.word(values[parameter.name]) for parameter in self.parameters]

    def words_to_check(self) -> Iterator[list[str]]:
        """Give sets of overrides that show every mistake in one parameter: each choice, either end."""
        first = [parameter.words_to_check()[0] for parameter in self.parameters]
        yield first
        for place, parameter in enumerate(self.parameters):
            for word in parameter.words_to_check()[1:]:
                yield [*first[:place], word, *first[place + 1 :]]


def read_space(arguments: Sequence[str], config_loader: Any, as_study: bool) -> Space:
    """Read the words of the command line; `as_study` turns ranges of numbers into what a sampler can model.

    Raises ConfigError for a parameter without values, and for one that is no trial's own.
    """
    overrides = OverridesParser.create(config_loader=config_loader).parse_overrides(list(arguments))
    swept = [override for override in overrides if override.is_sweep_override()]
    for override in swept:
        _check_key(str(override.get_key_element()))
        if redact(str(override.input_line)) != override.input_line:
            key = override.get_key_element()
            raise ConfigError(f"{key}: one of its values holds a secret, which the study would keep")
    as_study = as_study or any(override.is_interval_sweep() for override in swept)
    parameters = {str(o.get_key_element()): _parameter(o, as_study) for o in swept}
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    return Space(fixed, list(parameters.values()))


def _check_key(key: str) -> None:
    if key.lstrip("+").startswith("sweep."):
        raise ConfigError(f"{key}: it says how all trials are searched or run; give it one value")


def _parameter(override: Override, as_study: bool) -> Parameter:
    key, value = str(override.get_key_element()), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, value)
    texts = tuple(override.sweep_string_iterator())
    if not texts:
        raise ConfigError(f"{override.input_line}: there is nothing to choose from")
    if isinstance(value, RangeSweep):
        numbers = [int(text) if text.lstrip("-").isdigit() else float(text) for text in texts]
        return _range(key, value, numbers) if as_study else Choices(key, tuple(numbers), texts)
    labels = tuple(_label(v, text) for v, text in zip(override.sweep_iterator(), texts, strict=True))
    kept = [place for place, text in enumerate(texts) if text not in texts[:place]]  # a value given twice
    return Choices(key, tuple(labels[place] for place in kept), tuple(texts[place] for place in kept))


def _interval(key: str, value: IntervalSweep) -> Range:
    assert value.start is not None and value.end is not None
    log = "log" in value.tags
    if not value.start < value.end:
        raise ConfigError(f"{key}: interval({value.start}, {value.end}) is empty; give the lower end first")
    _check_log(key, log, value.start)
    return Range(key, value.start, value.end, None, log)


def _range(key: str, value: RangeSweep, numbers: list[int | float]) -> Range:
    log = "log" in value.tags
    _check_log(key, log, min(numbers))
    return Range(key, min(numbers), max(numbers), None if log else abs(value.step), log)


def _check_log(key: str, log: bool, low: float) -> None:
    if log and low <= 0:
        raise ConfigError(f"{key}: a logarithmic scale begins above 0, not at {low}")


def _label(value: Any, text: str) -> Plain:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(getattr(value, "text", text))
