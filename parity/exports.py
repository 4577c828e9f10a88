"""Checks exported graphs: the checker of `onnx` accepts them and Python's onnxruntime gives what our programs give.

Runs parity/exports.ts (with the `node` on the path, 22.18 or newer), which exports every operation's cases and three networks.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

here = Path(__file__).parent
TOLERANCE = 1e-4


def relative_error(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype, f"{a.dtype}{a.shape} and {b.dtype}{b.shape}"
    if b.dtype != np.float32:
        return 0.0 if np.array_equal(a, b, equal_nan=b.dtype == np.float16) else np.inf
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    difference = np.abs(a[finite] - b[finite])
    return float(np.max(difference, initial=0) / max(1e-6, np.max(np.abs(b[finite]), initial=0)))


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    subprocess.run(["node", here / "exports.ts", folder], check=True)
    expected = load_file(folder / "expected.safetensors")
    files = json.loads((folder / "files.json").read_text())
    worst, failed, operators = Counter(), [], Counter()
    for file, name in files.items():
        path = str(folder / file)
        try:
            onnx.checker.check_model(path, full_check=True)
            model = onnx.load(path, load_external_data=False)
            assert [opset.domain for opset in model.opset_import] == [""], model.opset_import
            operators.update(node.op_type for node in model.graph.node)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            feeds = {x.name: expected[f"{file}/input/{x.name}"] for x in session.get_inputs()}
            outputs = [y.name for y in session.get_outputs()]
            errors = [relative_error(y, expected[f"{file}/output/{key}"]) for key, y in zip(outputs, session.run(None, feeds))]
            group = name if name.startswith("network/") else name.split("/")[0]
            worst[group] = max(worst[group], *errors)
            assert max(errors) <= TOLERANCE, f"relative error {max(errors):.1e}"
        except Exception as error:
            failed.append(f"{name}: {error}")

print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print(f"{len(files) - len(failed)} of {len(files)} graphs accepted and equal, {len(operators)} kinds of operators")
print("largest relative errors: " + ", ".join(f"{group} {error:.1e}" for group, error in worst.most_common(8)))
print(*failed, sep="\n")
sys.exit(1 if failed else 0)
