"""Random masks and prompts for inpainting: boxes of objects, boxes anywhere, the whole image."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data import Scenes
from prompts import TEMPLATE, list_prompt


@dataclass(frozen=True)
class Shares:
    """How often each kind of mask is drawn; the rest are boxes of objects."""

    whole: float = 0.08
    anywhere: float = 0.10
    empty: float = 0.10


def grow(box: np.ndarray, size: int, rng: np.random.Generator, least: int = 0, most: int = 4) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a box [x, y, w, h] whose four sides are moved outwards by least..most pixels."""
    left, top, right, bottom = rng.integers(least, most + 1, 4)
    x, y, w, h = (int(v) for v in box)
    return max(0, x - left), max(0, y - top), min(size, x + w + right), min(size, y + h + bottom)


def anywhere(size: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    w, h = rng.integers(8, size // 2 + 1, 2)
    x, y = rng.integers(0, size - w + 1), rng.integers(0, size - h + 1)
    return int(x), int(y), int(x + w), int(y + h)


class MaskSampler:
    """Draws, for a scene, a mask and the prompt of what it hides."""

    def __init__(self, scenes: Scenes, rng: np.random.Generator, shares: Shares | None = None) -> None:
        self.scenes, self.rng, self.shares = scenes, rng, shares or Shares()
        self.objects = scenes.objects()

    def label_of(self, row: int, rect: tuple[int, int, int, int]) -> str | None:
        """The one object that lies mostly inside the rectangle, if there is exactly one."""
        x0, y0, x1, y1 = rect
        boxes = self.scenes.boxes[self.objects[row]]
        w = np.minimum(boxes[:, 0] + boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0)
        h = np.minimum(boxes[:, 1] + boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0)
        inside = np.flatnonzero(w.clip(0) * h.clip(0) > 0.7 * boxes[:, 2] * boxes[:, 3])
        return self.scenes.names[self.scenes.classes[self.objects[row][inside[0]]]] if len(inside) == 1 else None

    def draw(self, row: int) -> tuple[tuple[int, int, int, int], str]:
        size, rng, objects = self.scenes.images.shape[1], self.rng, self.objects[row]
        kind, empty = rng.random(), rng.random() < self.shares.empty
        if kind < self.shares.whole:
            labels = [self.scenes.names[k] for k in rng.permutation(np.unique(self.scenes.classes[objects]))]
            labels = labels[: int(rng.integers(1, 4))]
            return (0, 0, size, size), "" if rng.random() < 0.3 else list_prompt(labels)
        if kind < self.shares.whole + self.shares.anywhere:
            rect = anywhere(size, rng)
            label = self.label_of(row, rect)
            return rect, "" if empty or label is None else TEMPLATE.format(label=label)
        which = objects[rng.integers(len(objects))]
        label = self.scenes.names[self.scenes.classes[which]]
        return grow(self.scenes.boxes[which], size, rng), "" if empty else TEMPLATE.format(label=label)


def draw_masks(rects: list[tuple[int, int, int, int]], size: int) -> Tensor:
    """[N, 1, S, S], 1 where the image is repainted."""
    masks = torch.zeros(len(rects), 1, size, size)
    for mask, (x0, y0, x1, y1) in zip(masks, rects, strict=True):
        mask[0, y0:y1, x0:x1] = 1
    return masks
