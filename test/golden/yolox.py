"""Writes test/golden/autodiff/yolox_nano.json: 4096 entries of the gradient of YOLOX-nano by torch.autograd,
the ONNX graph being run node by node in PyTorch (float64). Run: python test/golden/yolox.py PATH/yolox_nano.onnx
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

OUT = Path(__file__).parent / "autodiff" / "yolox_nano.json"
STRIDE = 3 * 416 * 416 // 4096


def conv(a, x, w, b=None):
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    assert (top, left) == (bottom, right)
    return torch.conv2d(x, w, b, a["strides"], (top, left), a["dilations"], a["group"])


def pool(a, x):
    return torch.max_pool2d(x, a["kernel_shape"], a["strides"], a["pads"][:2])


def cut(a, x, starts, ends, axes, steps):
    index = [slice(None)] * x.ndim
    for s, e, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True):
        index[axis] = slice(s, min(e, x.shape[axis]), step)
    return x[tuple(index)]


def resize(a, x, roi, scales, *_):
    assert a["mode"] == b"nearest" and a["coordinate_transformation_mode"] == b"asymmetric" and a["nearest_mode"] == b"floor"
    return torch.nn.functional.interpolate(x, scale_factor=tuple(scales.tolist()[2:]), mode="nearest")


OPS = {
    "Conv": conv, "MaxPool": pool, "Slice": cut, "Resize": resize,
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Mul": lambda a, x, y: x * y,
    "Add": lambda a, x, y: x + y,
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Reshape": lambda a, x, s: x.reshape(s.tolist()),
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "Constant": lambda a: torch.from_numpy(numpy_helper.to_array(a["value"]).copy()),
}


def main(path):
    graph = onnx.load(path).graph
    values = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    values = {k: v.double() if v.is_floating_point() else v for k, v in values.items()}
    i = np.arange(3 * 416 * 416)
    data = (114 + 60 * np.sin(i / 91.7) + 40 * np.sin(i / 7.3) + 20 * np.sin(i * 1.9)).astype(np.float32)
    x = torch.from_numpy(data).double().reshape(1, 3, 416, 416).requires_grad_()
    values["images"] = x
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs = [values[name] if name else None for name in node.input]
        values[node.output[0]] = OPS[node.op_type](attributes, *inputs)
    output = values["output"]
    u = torch.from_numpy(np.cos(np.arange(output.numel()) * 0.7).astype(np.float32)).double().reshape(output.shape)
    (gradient,) = torch.autograd.grad(output, x, u)
    entries = gradient.reshape(-1)[:: STRIDE][:4096].numpy().astype("<f4")
    golden = {"stride": STRIDE, "norm": gradient.norm().item(), "entries": base64.b64encode(entries.tobytes()).decode()}
    OUT.write_text(json.dumps(golden))
    print(golden["norm"], entries[:4])


if __name__ == "__main__":
    main(sys.argv[1])
