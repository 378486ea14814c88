"""mini-clip and mini-yolos, measured through ONNX Runtime on the exported files."""

import argparse
import contextlib
import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from transformers import CLIPTokenizer

from common import bootstrap
from data import Scenes
from prompts import TEMPLATE, encode


def session(path: Path, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class MiniClip:
    """Logits of all labels, through the two exported graphs."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        stored = json.loads((folder / "thresholds.json").read_text())["thresholds"]
        self.names, self.thresholds = list(stored), np.array(list(stored.values()))
        self.scale, self.bias = config["logit_scale"], config["logit_bias"]
        self.vision = session(folder / "onnx/vision_model.onnx")
        ids = encode(CLIPTokenizer.from_pretrained(folder), [TEMPLATE.format(label=name) for name in self.names])
        text = session(folder / "onnx/text_model.onnx").run(None, {"input_ids": ids.numpy()})[0]
        self.text = text / np.linalg.norm(text, axis=1, keepdims=True)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """[N, 3, 64, 64] in [0, 1] -> [N, C]."""
        pixels = (images * 2 - 1).astype(np.float32)
        embeds = [self.vision.run(None, {"pixel_values": pixels[k : k + 100]})[0] for k in range(0, len(pixels), 100)]
        image = np.concatenate(embeds)
        image /= np.linalg.norm(image, axis=1, keepdims=True)
        return image @ self.text.T * self.scale + self.bias


def unit_images(scenes: Scenes) -> np.ndarray:
    return scenes.images.transpose(0, 3, 1, 2).astype(np.float32) / 255


def top_is_true(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return labels[np.arange(len(labels)), logits.argmax(1)]


def mean_ap(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over labels of the average precision, for distinct scores (what scikit-learn computes)."""
    total = []
    for k in np.flatnonzero(labels.any(0)):
        truth = labels[np.argsort(-logits[:, k], kind="stable"), k]
        precision = np.cumsum(truth) / np.arange(1, len(truth) + 1)
        total.append(float((precision * truth).sum() / truth.sum()))
    return float(np.mean(total))


def row(
    model: str, measure: str, value: float, n: int, interval: list[float] | None, target: str = "", reached: bool | None = None
) -> dict:
    return dict(model=model, measure=measure, value=float(value), n=n, interval=interval, target=target, reached=reached)


def clip_rows(args: argparse.Namespace, scenes: Scenes) -> list[dict]:
    clip = MiniClip(args.models / "mini-clip")
    logits, labels = clip.logits(unit_images(scenes)), scenes.labels
    hits, n = top_is_true(logits, labels), len(labels)
    width = labels.shape[1]
    both = np.concatenate([logits, labels], 1)
    ap = mean_ap(logits, labels)
    spread = bootstrap(both, lambda x: mean_ap(x[:, :width], x[:, width:]), 300)
    chosen = logits > clip.thresholds
    counts = np.stack([(chosen * labels).sum(1), chosen.sum(1), labels.sum(1)], 1)

    def f1(c: np.ndarray) -> float:
        hit, found, true = c.sum(0)
        return float(2 * hit / (found + true))

    return [
        row("mini-clip", "P@1", hits.mean(), n, bootstrap(hits), ">= 0.95", bool(hits.mean() >= 0.95)),
        row("mini-clip", "mAP", ap, n, spread, ">= 0.85", ap >= 0.85),
        row("mini-clip", "micro F1 at the thresholds", f1(counts), n, bootstrap(counts, f1)),
    ]


def detections(args: argparse.Namespace, scenes: Scenes, ids: list[int], noise: float = 0.0) -> np.ndarray:
    """Rows of image id, x, y, width, height, score, category id: every query's best class, as DETR scores it.

    `noise` is the amplitude of random sign noise on the pixels in [0, 1].
    """
    graph, images, size = session(args.models / "mini-yolos/onnx/model.onnx"), unit_images(scenes), scenes.images.shape[1]
    signs = np.random.default_rng(args.seed).choice(np.array([-1, 1], dtype=np.float32), images.shape)
    images, found = np.clip(images + noise * signs, 0, 1) * 2 - 1, []
    for start in range(0, len(images), 100):
        logits, boxes = graph.run(["logits", "pred_boxes"], {"pixel_values": images[start : start + 100]})
        scores = np.exp(logits - logits.max(-1, keepdims=True))
        scores = (scores / scores.sum(-1, keepdims=True))[..., :-1]
        for k, (s, b) in enumerate(zip(scores, boxes, strict=True)):
            for query in range(len(s)):
                best = int(s[query].argmax())
                x, y, w, h = b[query] * size
                found.append([ids[start + k], x - w / 2, y - h / 2, w, h, s[query, best], scenes.category_ids[best]])
    return np.array(found, dtype=np.float64)


def evaluated(truth: COCO, found: np.ndarray) -> COCOeval:
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def yolos_rows(args: argparse.Namespace, scenes: Scenes) -> list[dict]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(scenes.file))
        ids = [image["id"] for image in truth.dataset["images"]]
        found = detections(args, scenes, ids)
        evaluation = evaluated(truth, found)
        noised = evaluated(truth, detections(args, scenes, ids, 0.05)).eval["precision"][0, :, :, 0, -1]
    kept, count = evaluation.evalImgs, len(ids)
    areas = len(evaluation.params.areaRng)
    blocks = np.arange(len(kept)).reshape(-1, areas, count)

    def map50(rows: np.ndarray) -> float:
        evaluation.evalImgs = [kept[k] for k in blocks[:, :, rows].ravel()]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        precision = evaluation.eval["precision"][0, :, :, 0, -1]
        return float(precision[precision > -1].mean())

    everything = evaluation.eval["precision"][:, :, :, 0, -1]
    value = map50(np.arange(count))
    spread = bootstrap(np.arange(count), map50, 40)
    return [
        row("mini-yolos", "mAP50", value, count, spread, ">= 0.5", value >= 0.5),
        row("mini-yolos", "mAP50 under random sign noise of 0.05", float(noised[noised > -1].mean()), count, None),
        row("mini-yolos", "mAP50-95", float(everything[everything > -1].mean()), count, None),
    ]
