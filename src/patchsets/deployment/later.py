"""The model of a run that ended without one, such as a trial of a sweep: made when it is asked for."""

from pathlib import Path

from patchsets.errors import UserError


def with_model(folder: Path) -> Path:
    """Return `<run folder>/model/`; make it from the run's configuration, data and weights if need be.

    Raises UserError where the run has no weights, or what it learned is not about images.
    """
    model = folder / "model"
    if not (model / "model.pt2").is_file():
        print(f"{folder} has no model/ yet: it is made from its weights and data")
        _make(folder)
    return model


def _make(folder: Path) -> None:
    from patchsets.deployment.export import write_task
    from patchsets.saved import load_model

    task = load_model(folder)
    task.fetch_data()
    task.preprocessing_train()
    task.on_test_start()  # where a threshold is chosen
    if not write_task(task, folder):
        raise UserError(f"{folder}: its data are no images, so it has no model that judges any")
