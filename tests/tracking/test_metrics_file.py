"""metrics.csv: nothing lost, nothing twice, readable by anybody."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pretend_run import train

from workbench.run.metrics_file import BLOCK_BYTES, FILE_NAME, MetricsFile, Row, read_metrics, read_rows
from workbench.train.step_log import RunLogger


def without_time(rows: list[Row]) -> list[tuple]:
    return [row[1:] for row in rows]


def test_values_come_back_with_their_axes_and_every_digit(folder: Path) -> None:
    logger = RunLogger(folder)
    logger.log_steps({"train/loss": 0.1 + 0.2, "train/accuracy": math.inf}, epoch=1, step=12)
    logger.log_metrics({"val/loss": 1e-300, "epoch": 1.0}, step=19)
    rows = read_metrics(folder)
    assert without_time(rows) == [
        ("step", 1, 12, "train/loss", 0.1 + 0.2),
        ("step", 1, 12, "train/accuracy", math.inf),
        ("epoch", 1, 19, "val/loss", 1e-300),
    ]
    assert [row.x for row in rows] == [12, 12, 1]


def test_a_value_without_an_epoch_is_drawn_against_the_step(folder: Path) -> None:
    RunLogger(folder).log_metrics({"own": 1.0}, step=5)
    assert [(row.axis, row.x) for row in read_metrics(folder)] == [("step", 5)]


def test_any_csv_reader_reads_it_whatever_a_value_is_called(folder: Path) -> None:
    RunLogger(folder).log_steps({'odd, "quoted"\r\nname': 1.0, "精度": 2.0}, epoch=0, step=0)
    with (folder / FILE_NAME).open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [line["name"] for line in table] == ['odd, "quoted" name', "精度"]
    assert [row.name for row in read_metrics(folder)] == ['odd, "quoted" name', "精度"]


def test_a_resumed_run_repeats_nothing_and_loses_nothing(folder: Path) -> None:
    train(folder, last=17)
    with (folder / FILE_NAME).open("a") as file:
        file.write("1800000000.5,step,1,17,train/lo")  # torn by a crash
    train(folder, first=10)
    rows = read_metrics(folder)
    assert [row.step for row in rows if row.axis == "step"] == list(range(20))
    assert [row.epoch for row in rows if row.axis == "epoch"] == [0, 1]


def test_a_resumed_run_that_comes_out_otherwise_has_the_last_word(folder: Path) -> None:
    for value in (0.5, 0.5, 0.25, float("nan"), float("nan")):
        MetricsFile(folder).append("step", 0, 3, {"train/loss": value})
    rows = [row.value for row in read_metrics(folder)]
    assert rows[:2] == [0.5, 0.25] and rows[2] != rows[2] and len(rows) == 3


def test_what_the_disk_takes_in_parts_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
    train(folder, last=2)
    monkeypatch.undo()
    assert [row.step for row in read_metrics(folder)] == [0, 1]


def test_lines_damaged_by_a_crash_of_the_machine_are_passed_over(folder: Path) -> None:
    train(folder, last=2)
    with (folder / FILE_NAME).open("ab") as file:
        file.write(b'\0\0\0\n1800000000.5,st\r"ep,\xff\n"\n')
    train(folder, first=2, last=4)
    assert [row.step for row in read_metrics(folder)] == [0, 1, 2, 3]


def test_a_torn_header_begins_again(folder: Path) -> None:
    (folder / FILE_NAME).write_text("time,axis,ep")
    train(folder, last=1)
    assert len(read_metrics(folder)) == 1


def test_a_reader_takes_whole_lines_and_goes_on_where_it_was(folder: Path) -> None:
    train(folder, last=3)
    rows, offset = read_rows(folder / FILE_NAME, 0)
    with (folder / FILE_NAME).open("a") as file:
        file.write("1800000000.5,step,0,3,train/loss,0.2")
        file.flush()
        assert read_rows(folder / FILE_NAME, offset) == ([], offset)
        file.write("5\n")
    rest, _ = read_rows(folder / FILE_NAME, offset)
    assert (len(rows), [row.value for row in rest]) == (3, [0.25])


def test_files_longer_than_a_block_are_read_whole(folder: Path) -> None:
    train(folder, last=1)
    line = "1800000000.5,step,0,{},train/loss,0.25\n"
    count = 2 * BLOCK_BYTES // len(line)
    with (folder / FILE_NAME).open("a") as file:
        file.writelines(line.format(step) for step in range(count))
    assert len(read_metrics(folder)) == count + 1


def test_killing_the_process_loses_no_value(folder: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from workbench.run.metrics_file import MetricsFile\n"
        "file = MetricsFile(Path(sys.argv[1]))\n"
        "for step in range(100): file.append('step', 0, step, {'loss': 1.0})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    source = Path(__file__).parents[2] / "src"
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], env={"PYTHONPATH": str(source)})
    assert ended.returncode == -9
    assert len(read_metrics(folder)) == 100
