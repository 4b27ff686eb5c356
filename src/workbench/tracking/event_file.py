"""TensorBoard's event file, by its own writer of records; neither torch nor TensorFlow is loaded."""

import os
import struct
import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from workbench.run.metrics_file import Row


class EventFile:
    """Appends events to `<folder>/events.out.tfevents.*`, unbuffered."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._file = path.open("wb", buffering=0)  # a killed process loses nothing that was written
        self._records = RecordWriter(self._file)
        begin = Event(wall_time=time.time(), file_version="brain.Event:2")
        # makes an open TensorBoard drop what it has read from an event file that this one replaces
        restart = Event(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START))
        self._write([begin, restart])

    def scalars(self, rows: list[Row]) -> None:
        """Add values, each against its own axis and at its own time."""
        events = []
        for (x, when), same in groupby(rows, lambda row: (row.x, row.time)):
            values = [Summary.Value(tag=row.name, simple_value=row.value) for row in same]
            events.append(Event(wall_time=when, step=x, summary=Summary(value=values)))
        self._write(events)

    def png(self, tag: str, content: bytes, x: int) -> None:
        """Add an image as it is."""
        width, height = struct.unpack(">II", content[16:24])
        image = Summary.Image(encoded_image_string=content, width=width, height=height, colorspace=3)
        self._add(Summary.Value(tag=tag, image=image), x)

    def markdown(self, tag: str, text: str, x: int = 0) -> None:
        """Add a text."""
        value = Summary.Value(tag=tag)
        value.metadata.plugin_data.plugin_name = "text"
        value.tensor.dtype = DT_STRING
        value.tensor.string_val.append(text.encode())
        self._add(value, x)

    def session_start(self, name: str, started: float, hparams: Mapping[str, object]) -> None:
        """Make the run a row of the HParams page; its metrics are the last values of its scalars."""
        info = SessionStartInfo(group_name=name, start_time_secs=started)
        for key, value in hparams.items():
            if isinstance(value, bool):
                info.hparams[key].bool_value = value
            elif isinstance(value, int | float):
                info.hparams[key].number_value = value
            else:
                info.hparams[key].string_value = str(value)
        self._add_hparams("session_start_info", HParamsPluginData(session_start_info=info))

    def session_end(self, success: bool) -> None:
        """Say on the HParams page that the run has ended."""
        status = Status.Value("STATUS_SUCCESS" if success else "STATUS_FAILURE")
        info = SessionEndInfo(status=status, end_time_secs=time.time())
        self._add_hparams("session_end_info", HParamsPluginData(session_end_info=info))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _add_hparams(self, kind: str, data: HParamsPluginData) -> None:
        value = Summary.Value(tag=f"_hparams_/{kind}")
        value.metadata.plugin_data.plugin_name = "hparams"
        value.metadata.plugin_data.content = data.SerializeToString()
        self._add(value)

    def _add(self, value: Summary.Value, x: int = 0) -> None:
        self._write([Event(wall_time=time.time(), step=x, summary=Summary(value=[value]))])

    def _write(self, events: list[Event]) -> None:
        for event in events:
            self._records.write(event.SerializeToString())
