"""What MLflow must hold of a run: all that its folder holds, once."""

from pathlib import Path

from workbench.run.metrics_file import read_metrics


def assert_all_is_there_once(uri: str, folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("patch_sets")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    rows = read_metrics(folder)
    assert rows
    for name in {row.name for row in rows}:
        kept = client.get_metric_history(run.info.run_id, name)
        values = sorted((metric.step, metric.value) for metric in kept)
        assert values == sorted((row.x, row.value) for row in rows if row.name == name)
