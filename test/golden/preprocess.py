"""Writes preprocess.json: what Pillow and the image processors of transformers (Pillow backend) make of small random pictures.

Needs pillow, numpy and transformers. Run: python test/golden/preprocess.py
"""

import base64
import json
from pathlib import Path

import numpy as np
import transformers
from PIL import Image, __version__ as pillow_version
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

rng = np.random.default_rng(7)


def encode(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def picture(height, width):
    """Smooth shapes with hard edges and some noise: overshoot, borders and detail all occur."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / width, y * 255 / height, 128 + 127 * np.sin(x / 3.0) * np.cos(y / 4.0)], -1)
    base[height // 4 : height // 2, width // 3 : width // 2] = [255, 0, 255]
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


resized = []
for (height, width), (to_height, to_width), box in [
    ((23, 31), (8, 8), None),
    ((23, 31), (40, 17), None),
    ((23, 31), (23, 12), None),
    ((40, 40), (64, 64), None),
    ((30, 44), (16, 16), [7.0, 0.0, 37.0, 30.0]),
]:
    source = picture(height, width)
    x0, y0, x1, y1 = box or [0, 0, width, height]
    for name, code in [("bilinear", 2), ("bicubic", 3)]:
        # Two calls fix the order of the passes, which Pillow 13 chooses by size.
        rows = Image.fromarray(source).resize((to_width, height), code, box=(x0, 0, x1, height))
        both = rows.resize((to_width, to_height), code, box=(0, y0, to_width, y1))
        resized.append(
            {
                "filter": name,
                "from": [height, width],
                "to": [to_height, to_width],
                "box": box and [x0, y0, x1 - x0, y1 - y0],
                "source": encode(source),
                "result": encode(np.asarray(both)),
            }
        )

processors = [
    (CLIPImageProcessorPil, {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}, (23, 31)),
    (CLIPImageProcessorPil, {"size": {"shortest_edge": 40}, "crop_size": {"height": 24, "width": 24}}, (32, 23)),
    (CLIPImageProcessorPil, {"size": {"shortest_edge": 12}, "crop_size": {"height": 15, "width": 14}}, (24, 24)),
    (CLIPImageProcessorPil, {"size": {"shortest_edge": 20}, "crop_size": {"height": 20, "width": 20}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, (20, 20)),
    (ViTImageProcessorPil, {"size": {"height": 16, "width": 16}}, (23, 31)),
    (ViTImageProcessorPil, {"size": {"height": 18, "width": 14}, "do_rescale": False, "do_normalize": False}, (23, 31)),
    (DetrImageProcessorPil, {"size": {"shortest_edge": 20, "longest_edge": 26}}, (23, 37)),
    (DetrImageProcessorPil, {"size": {"shortest_edge": 20, "longest_edge": 40}}, (37, 23)),
    (YolosImageProcessorPil, {"size": {"shortest_edge": 33, "longest_edge": 80}}, (23, 37)),
    (RTDetrImageProcessorPil, {"size": {"height": 24, "width": 24}}, (23, 31)),
]
cases = []
for kind, options, (height, width) in processors:
    source = picture(height, width)
    processor = kind(**options)
    values = np.asarray(processor(Image.fromarray(source), return_tensors="np")["pixel_values"][0], dtype=np.float32)
    config = {k: v for k, v in json.loads(processor.to_json_string()).items() if not k.startswith("_")}
    cases.append({"config": config, "from": [height, width], "source": encode(source), "dims": list(values.shape), "values": encode(values)})

out = {"versions": {"pillow": pillow_version, "transformers": transformers.__version__}, "resized": resized, "processors": cases}
Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
