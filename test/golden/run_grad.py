"""Gradient files of `kintsugi grad` in Python's ONNX Runtime, against the gradients of torch.autograd in test/golden/autodiff/*.json.

Run: python test/golden/run_grad.py [NAME ...]. For each fixture and exporter the command line writes the gradient file beside a copy
of the model; nothing else is given to Python. Prints size, largest difference over largest gradient, and 1 - cosine.
"""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).parent / "autodiff"
DEFAULT = ["clip_vision", "resnet", "unet"]


def tensor(entry):
    return np.frombuffer(base64.b64decode(entry["float32"]), "<f4").reshape(entry["dims"])


def write_gradient(model, outputs, dims):
    flags = [flag for name in outputs for flag in ("--of", name)]
    shape = f"x={'x'.join(map(str, dims))}"
    command = [ROOT / "kintsugi", "grad", model, *flags, "--wrt", "x", "--shape", shape, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return Path(json.loads(done.stdout)["file"])


def compare(name, source, folder):
    golden = {key: tensor(entry) for key, entry in json.loads((FIXTURES / f"{name}.json").read_text()).items() if "float32" in entry}
    outputs = [key.removeprefix("cotangent/") for key in golden if key.startswith("cotangent/")]
    model = Path(shutil.copy(source, folder))
    path = write_gradient(model, outputs, golden["x"].shape)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {v.name: golden[v.name] for v in session.get_inputs()}
    (gradient,) = session.run(["grad/x"], feeds)
    expected = golden["gradient"]
    difference = np.abs(gradient - expected).max() / np.abs(expected).max()
    a, b = gradient.ravel().astype("f8"), expected.ravel().astype("f8")
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    sizes = f"{path.stat().st_size:8} B beside {model.stat().st_size} B"
    print(f"{source.stem:32} {sizes:30} difference {difference:.1e}  1 - cosine {1 - cosine:.0e}")
    return difference < 1e-4


def main(names):
    print(f"onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        same = [compare(name, source, folder) for name in names for source in sorted(FIXTURES.glob(f"{name}.*.onnx"))]
    sys.exit(0 if same and all(same) else "no fixture of these names" if not same else "gradients differ")


if __name__ == "__main__":
    main(sys.argv[1:] or DEFAULT)
