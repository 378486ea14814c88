"""Loads data sets that `kintsugi dataset build` made with `datasets` and `pycocotools`, without any code of its own about
their format, and compares what they say with the files. Run:

    python test/golden/load_dataset.py FOLDER [--source INSTANCES.json] [FOLDER [--source INSTANCES.json] ...]

SOURCE is the annotation file that the data set was made from: the masks are compared with it. Ends with 1 if anything differs.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="datasets-")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import numpy as np
from datasets import Image, __version__, disable_progress_bars, load_dataset
from pycocotools.coco import COCO

disable_progress_bars()
# Objects whose masks are compared, an attack.
MASKS = 200
# The canvas of a letterboxed photograph is smaller than the file: outlines of few pixels agree less.
LEAST_PIXELS, LEAST_OVERLAP = 200, 0.9


def quiet(make):
    """pycocotools reports on stdout."""
    with open(os.devnull, "w") as nowhere:
        stdout, sys.stdout = sys.stdout, nowhere
        try:
            return make()
        finally:
            sys.stdout = stdout


def pixels(image):
    assert image.mode == "RGB", image.mode
    return np.asarray(image).astype(np.int16)


def check_row(folder, row):
    """Pixels, hashes and distances of one row of ImageFolder, computed here."""
    image, clean = pixels(row["image"]), pixels(row["clean"]) if row.get("clean") else None
    assert image.shape == (row["height"], row["width"], 3)
    assert hashlib.sha256(Path(row["image"].filename).read_bytes()).hexdigest() == row["sha256"]
    if clean is not None:
        change = image - clean
        assert hashlib.sha256(clean.astype(np.uint8).tobytes()).hexdigest() == row["clean_sha256"]
        assert abs(np.abs(change).max() / 255 - row["linf"]) < 1e-12
        assert abs(np.sqrt((change.astype(float) ** 2).sum()) / 255 - row["l2"]) < 1e-9
        used = row["l2"] if row["norm"] == "l2" else row["linf"]
        assert used <= row["epsilon"] * (1 + 1e-6), (row["image"].filename, used, row["epsilon"])
    if row.get("delta_file"):
        delta = np.load(folder / row["delta_file"])
        assert delta.dtype == np.float16 and delta.shape == (3, row["height"], row["width"])
        rounded = np.abs(clean / 255 + delta.transpose(1, 2, 0).astype(float) - image / 255).max()
        # Half a level by rounding to 8 bits, or a whole one where rounding would have left the budget.
        assert rounded <= 1 / 255 + 2**-11, rounded
    return image


def source_mask(source, annotation, row):
    """The mask of the source as the canvas shows it: every canvas pixel asks the file pixel under its centre."""
    mask = source.annToMask(annotation)
    assert mask.shape == (row["source_height"], row["source_width"])
    (sx, sy), (ox, oy) = row["canvas_scale"], row["canvas_offset"]
    x = np.floor((np.arange(row["width"]) + 0.5 - ox) / sx).astype(int)
    y = np.floor((np.arange(row["height"]) + 0.5 - oy) / sy).astype(int)
    out = np.zeros((row["height"], row["width"]), np.uint8)
    inside_x, inside_y = (x >= 0) & (x < mask.shape[1]), (y >= 0) & (y < mask.shape[0])
    out[np.ix_(inside_y, inside_x)] = mask[np.ix_(y[inside_y], x[inside_x])]
    return out


def compare_masks(coco, source, rows):
    """Overlaps of the masks of large enough objects with those of the source."""
    overlaps = []
    for row in rows:
        here = coco.loadAnns(coco.getAnnIds(int(Path(row["file_name"]).stem)))
        there = source.loadAnns(source.getAnnIds(int(row["image_id"])))
        if len(here) != len(there):
            continue  # a crop left objects out
        for mine, original in zip(here, there):
            assert mine["category_id"] == original["category_id"] and mine["iscrowd"] == original["iscrowd"]
            if not original.get("segmentation"):
                assert "segmentation" not in mine  # pycocotools makes no mask of an object that has only a box
                continue
            a, b = coco.annToMask(mine), source_mask(source, original, row)
            if b.sum() >= LEAST_PIXELS or row["canvas_scale"] == [1, 1]:
                overlaps.append((a & b).sum() / max(1, (a | b).sum()))
            if len(overlaps) == MASKS:
                return overlaps
    return overlaps


def load(folder, source):
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    attacks = list(dict.fromkeys(line["attack"] for line in lines))
    print(f"{folder.name}: {len(lines)} rows, {len(attacks)} attacks")

    images = load_dataset("imagefolder", data_dir=str(folder))
    assert list(images) == ["train"], list(images)
    images = images["train"]
    assert len(images) == len(lines)
    for row, line in zip(images, lines):
        assert row["sha256"] == line["sha256"] and row["success_verified"] == line["success_verified"]
        check_row(folder, row)
    print(f"  datasets {__version__} imagefolder: {len(images)} rows; every hash, distance and budget computed again in NumPy")

    parquet = load_dataset("parquet", data_dir=str(folder / "data"))["train"]
    whole = load_dataset(str(folder))["test"]
    assert isinstance(parquet.features["image"], Image) and len(parquet) == len(whole) == len(lines)
    by_name = {line["file_name"]: line for line in lines}
    assert {row for row in parquet["file_name"]} == set(by_name)
    for row in parquet:
        line = by_name[row["file_name"]]
        assert (pixels(row["image"]) == pixels(Image().decode_example({"path": str(folder / row["file_name"]), "bytes": None}))).all()
        for name in ("top5_before", "top5_after", "labels", "success_verified", "linf", "objects", "attack_options", "license"):
            assert row[name] == line[name], (name, row[name], line[name])
    for attack in attacks:
        part = load_dataset(str(folder), attack.replace("/", "_"), split="test")
        assert len(part) == sum(line["attack"] == attack for line in lines) and set(part["attack"]) == {attack}
    print(f"  datasets {__version__} parquet: {len(parquet)} rows equal to metadata.jsonl, pictures equal to the PNG files; one configuration an attack")

    for attack in attacks:
        name = attack.replace("/", "_")
        rows = [line for line in lines if line["attack"] == attack]
        coco = quiet(lambda: COCO(str(folder / "annotations" / f"{name}.json")))
        assert len(coco.imgs) == len(rows)
        for info in coco.imgs.values():
            assert (folder / "images" / name / info["file_name"]).is_file()
        assert [len(coco.getAnnIds(int(Path(row["file_name"]).stem))) for row in rows] == [len(row["objects"]["bbox"]) for row in rows]
        overlaps = compare_masks(coco, source, rows) if source else []
        if source:
            assert overlaps and np.mean(overlaps) > LEAST_OVERLAP, np.mean(overlaps)
        seen = f"; {len(overlaps)} masks overlap with the source's by {np.mean(overlaps):.4f} on average, {min(overlaps):.4f} at least" if overlaps else ""
        shares = f"{sum(row['success_verified'] for row in rows)} of {len(rows)} successful"
        print(f"  pycocotools {attack}: {len(coco.imgs)} images, {len(coco.anns)} objects, {shares}{seen}")


def main(arguments):
    if not arguments:
        sys.exit(__doc__)
    while arguments:
        folder = Path(arguments.pop(0))
        source = None
        if arguments[:1] == ["--source"]:
            path = arguments[1]
            source = quiet(lambda: COCO(path))
            del arguments[:2]
        load(folder, source)
    print("all equal")


main(sys.argv[1:])
