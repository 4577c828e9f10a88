"""An event file as TensorBoard's own writer makes it, as a fixture for src/training/logs/tensorboard.test.ts."""

import base64
import io
import json
from pathlib import Path

import tensorboard
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

WALL_TIME = 1767225600.25
SCALARS = [["train/loss", 0.031, 7], ["train/loss", 0.0, 8], ["train/lr", -1e-30, 9], ["train/loss", float("inf"), 2**40]]
TEXT = ["config", "# Ablauf\n*größer*", 7]

png = io.BytesIO()
Image.new("RGB", (5, 3), (200, 30, 30)).save(png, "PNG")

values = [(step, Summary.Value(tag=tag, simple_value=value)) for tag, value, step in SCALARS]
image = Summary.Image(height=3, width=5, colorspace=3, encoded_image_string=png.getvalue())
values.append((8, Summary.Value(tag="samples", image=image)))
tensor = TensorProto(
    dtype="DT_STRING",
    string_val=[TEXT[1].encode()],
    tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
)
metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
values.append((TEXT[2], Summary.Value(tag=TEXT[0], tensor=tensor, metadata=metadata)))

events = [Event(file_version="brain.Event:2"), Event(step=7, session_log=SessionLog(status=SessionLog.START))]
events += [Event(step=step, summary=Summary(value=[value])) for step, value in values]

file = io.BytesIO()
writer = RecordWriter(file)
for event in events:
    event.wall_time = WALL_TIME
    writer.write(event.SerializeToString())

fixture = {
    "provenance": {"tensorboard": tensorboard.__version__, "script": "parity/tensorboard_events.py"},
    "wallTime": WALL_TIME,
    "resumeStep": 6,
    # JSON has no infinity.
    "scalars": [[tag, str(value), step] for tag, value, step in SCALARS],
    "text": TEXT,
    "image": ["samples", base64.b64encode(png.getvalue()).decode(), 8],
    "file": base64.b64encode(file.getvalue()).decode(),
}
path = Path(__file__).parent / "fixtures" / "tensorboard_events.json"
path.write_text(json.dumps(fixture, indent=1, ensure_ascii=False) + "\n")
