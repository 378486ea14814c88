"""Scenes in COCO format as arrays, cached once; random augmentation; random crops of photographs."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor

from common import to_unit

BACKGROUND = 255


@dataclass(frozen=True)
class Scenes:
    """N scenes of size S x S. `classes` hold indices into `names`, not COCO ids."""

    images: np.ndarray  # uint8 [N, S, S, 3]
    maps: np.ndarray  # uint8 [N, S, S]: class of each pixel, BACKGROUND where there is none
    boxes: np.ndarray  # float32 [M, 4]: x, y, width, height in pixels
    classes: np.ndarray  # int64 [M]
    owner: np.ndarray  # int64 [M]: the scene of each object
    names: list[str]
    category_ids: list[int]
    file: Path

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> np.ndarray:
        """Multi-hot [N, C]."""
        result = np.zeros((len(self), len(self.names)), dtype=np.float32)
        result[self.owner, self.classes] = 1
        return result

    def objects(self) -> list[np.ndarray]:
        """Indices of the objects of each scene."""
        order = np.argsort(self.owner, kind="stable")
        return np.split(order, np.searchsorted(self.owner[order], np.arange(1, len(self))))


def annotation_file(folder: Path) -> Path:
    files = sorted((folder / "annotations").glob("instances_*.json"))
    if not files:
        raise SystemExit(f"{folder}: expected a COCO folder with annotations/instances_*.json; make one with `kintsugi scenes`")
    return files[0]


def find_image(folder: Path, split: str, name: str) -> Path:
    for candidate in (folder / split / name, folder / "images" / name, folder / "images" / split / name, folder / name):
        if candidate.exists():
            return candidate
    raise SystemExit(f"{folder}: image {name} named by the annotations was not found")


def decode_mask(segmentation: dict | list, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        rle = segmentation
        if isinstance(rle["counts"], list):
            rle = coco_mask.frPyObjects(rle, height, width)
    else:
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return coco_mask.decode(rle).astype(bool)


def load_scenes(folder: Path, cache: Path, names: list[str] | None = None) -> Scenes:
    """Reads a COCO folder; pixels and class maps are kept as .npy under `cache`."""
    file = annotation_file(folder)
    coco = json.loads(file.read_text())
    categories = sorted(coco["categories"], key=lambda c: c["id"])
    if names is None:
        used = {a["category_id"] for a in coco["annotations"]}
        categories = [c for c in categories if c["id"] in used]
    else:
        by_name = {c["name"]: c for c in categories}
        categories = [by_name[name] for name in names]
    class_of = {c["id"]: k for k, c in enumerate(categories)}
    row_of = {image["id"]: k for k, image in enumerate(coco["images"])}
    annotations = [a for a in coco["annotations"] if a["category_id"] in class_of]
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float32).reshape(-1, 4)
    classes = np.array([class_of[a["category_id"]] for a in annotations], dtype=np.int64)
    owner = np.array([row_of[a["image_id"]] for a in annotations], dtype=np.int64)

    stem = cache / f"{folder.name}-{len(coco['images'])}"
    pixels, maps = stem.with_suffix(".images.npy"), stem.with_suffix(".maps.npy")
    if not (pixels.exists() and maps.exists()):
        cache.mkdir(parents=True, exist_ok=True)
        split = file.stem.removeprefix("instances_")
        images = np.stack(
            [np.asarray(Image.open(find_image(folder, split, i["file_name"])).convert("RGB")) for i in coco["images"]]
        )
        drawn = np.full(images.shape[:3], BACKGROUND, dtype=np.uint8)
        for annotation, row, index in zip(annotations, owner, classes, strict=True):
            drawn[row][decode_mask(annotation["segmentation"], *drawn.shape[1:])] = index
        np.save(pixels, images)
        np.save(maps, drawn)
    return Scenes(
        images=np.load(pixels, mmap_mode="r"),
        maps=np.load(maps, mmap_mode="r"),
        boxes=boxes,
        classes=classes,
        owner=owner,
        names=[c["name"] for c in categories],
        category_ids=[c["id"] for c in categories],
        file=file,
    )


def split_rows(count: int, held_out: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Training rows, and the last `held_out` rows, which calibrate thresholds and nothing else."""
    return np.arange(count - held_out), np.arange(count - held_out, count)


def shift(array: np.ndarray, dx: int, dy: int, fill: int | None) -> np.ndarray:
    """Moves [N, S, S, ...] by whole pixels; the border repeats its edge or takes `fill`."""
    size = array.shape[1]
    ys, xs = np.arange(size) - dy, np.arange(size) - dx
    moved = array[:, ys.clip(0, size - 1)][:, :, xs.clip(0, size - 1)]
    if fill is not None:
        moved[:, (ys < 0) | (ys >= size)] = fill
        moved[:, :, (xs < 0) | (xs >= size)] = fill
    return moved


def jitter_colour(images: Tensor, strength: float = 0.15) -> Tensor:
    """Random contrast, brightness and channel gain for each image, [N, 3, S, S] in [0, 1]."""
    n = len(images)
    contrast = 1 + strength * (2 * torch.rand(n, 1, 1, 1) - 1)
    gain = 1 + 0.5 * strength * (2 * torch.rand(n, 3, 1, 1) - 1)
    offset = 0.5 * strength * (2 * torch.rand(n, 1, 1, 1) - 1)
    return ((images - 0.5) * contrast * gain + 0.5 + offset).clamp_(0, 1)


def pixel_noise(images: Tensor, amplitude: float, probability: float) -> Tensor:
    """Noise as an attack leaves it: uniform or sign noise, per pixel or in blocks, to a part of the images."""
    n, c, s, _ = images.shape
    result = images.clone()
    for i in torch.nonzero(torch.rand(n) < probability).flatten().tolist():
        block = int(2 ** torch.randint(0, 4, ()).item())
        noise = 2 * torch.rand(c, s // block, s // block) - 1
        if torch.rand(()) < 0.6:
            noise = noise.sign()
        noise = noise.repeat_interleave(block, 1).repeat_interleave(block, 2)
        result[i] += noise * amplitude * torch.rand(())
    return result.clamp_(0, 1)


def photographs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})


def photo_crops(files: list[Path], count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random square crops of photographs, at scales from the full resolution to the whole short side."""
    result = np.empty((count, size, size, 3), dtype=np.uint8)
    opened = [Image.open(f).convert("RGB") for f in files]
    for k in range(count):
        image = opened[k % len(opened)]
        short = min(image.size)
        side = int(size * (short / size) ** rng.random())
        x, y = rng.integers(0, image.width - side + 1), rng.integers(0, image.height - side + 1)
        crop = image.crop((x, y, x + side, y + side)).resize((size, size), Image.Resampling.BICUBIC)
        result[k] = np.asarray(crop)
    return result


def unit_batch(images: np.ndarray, rows: np.ndarray) -> Tensor:
    return to_unit(np.ascontiguousarray(images[rows]))
