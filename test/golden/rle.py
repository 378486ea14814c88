"""Masks and their packed run lengths by pycocotools: writes rle.json beside this file."""
import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

rng = np.random.default_rng(0)
rows, columns = np.mgrid[:60, :40]
MASKS = {
    "empty": np.zeros((3, 5)),
    "full": np.ones((3, 5)),
    "noise": rng.random((9, 7)) < 0.5,
    "disc": (rows - 30) ** 2 + (columns - 20) ** 2 < 15**2,
    "long runs": np.pad(np.ones((50, 200)), ((0, 0), (300, 100))),
}

cases = []
for name, mask in MASKS.items():
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    lines = ["".join("#" if value else "." for value in line) for line in mask]
    if mask.size > 5000:
        lines = lines[:1]  # all rows are equal
    cases.append({"name": name, "size": code["size"], "counts": code["counts"].decode(), "rows": lines})
Path(__file__).with_name("rle.json").write_text(json.dumps(cases, indent=1) + "\n")
