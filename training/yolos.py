"""mini-yolos: YolosForObjectDetection whose encoder starts from mini-clip's vision tower.

Set prediction with Hungarian matching (DETR). The detection tokens of the last layers share the two heads and are all
supervised; only the last layer's are exported.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from transformers import YolosConfig, YolosForObjectDetection

from clip_teacher import load_clip
from common import Ema, Run, base_parser, setup
from data import Scenes, jitter_colour, load_scenes, pixel_noise, split_rows, unit_batch
from export_yolos import export
from muon import make_optimizer

Targets = list[tuple[Tensor, Tensor]]  # classes [M], boxes cxcywh in 0..1 [M, 4] of each image


def parse() -> argparse.Namespace:
    parser = base_parser("Train mini-yolos.", "mini-yolos", minutes=28, batch_size=64, lr=1e-3)
    parser.add_argument("--supervised-layers", type=int, default=2, help="last layers whose detection tokens are trained")
    parser.add_argument("--no-object", type=float, default=0.2, help="weight of the class `no object`")
    return parser.parse_args()


def build(names: list[str], queries: int = 16) -> YolosForObjectDetection:
    config = YolosConfig(
        hidden_size=160,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=5,
        hidden_act="quick_gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-5,
        image_size=[64, 64],
        patch_size=8,
        num_detection_tokens=queries,
        use_mid_position_embeddings=False,
        id2label=dict(enumerate(names)),
        label2id={name: k for k, name in enumerate(names)},
    )
    return YolosForObjectDetection(config)


@torch.no_grad()
def start_from_clip(model: YolosForObjectDetection, folder: Path) -> None:
    """Copies every layer. CLIP normalises its embeddings (pre_layrnorm), YOLOS does not: that layer is folded into
    the embeddings with the average standard deviation over patches in place of each patch's own."""
    vision = load_clip(folder).vision_model
    vit = model.vit
    norm, source, target = vision.pre_layrnorm, vision.embeddings, vit.embeddings
    weight = source.patch_embedding.weight
    positions = source.position_embedding.weight
    spread = (weight.flatten(1).var(0).sum() * 0.1 + positions[1:].var(1).mean()).sqrt()

    def fold(x: Tensor, dim: int) -> Tensor:
        shape = [-1 if d == dim else 1 for d in range(x.ndim)]
        return (x - x.mean(dim, keepdim=True)) / spread * norm.weight.view(shape)

    projection = target.patch_embeddings.projection
    projection.weight.copy_(fold(weight, 0))
    projection.bias.copy_(norm.bias)
    count = positions.shape[0]
    target.position_embeddings[0, :count].copy_(fold(positions, 1))
    target.cls_token[0, 0].copy_(fold(source.class_embedding[None], 1)[0])
    torch.nn.init.normal_(target.detection_tokens, std=0.5)
    for mine, theirs in zip(vit.encoder.layer, vision.encoder.layers, strict=True):
        attention = mine.attention.attention
        pairs = [
            (attention.query, theirs.self_attn.q_proj),
            (attention.key, theirs.self_attn.k_proj),
            (attention.value, theirs.self_attn.v_proj),
            (mine.attention.output.dense, theirs.self_attn.out_proj),
            (mine.intermediate.dense, theirs.mlp.fc1),
            (mine.output.dense, theirs.mlp.fc2),
            (mine.layernorm_before, theirs.layer_norm1),
            (mine.layernorm_after, theirs.layer_norm2),
        ]
        for a, b in pairs:
            a.load_state_dict(b.state_dict())
    vit.layernorm.load_state_dict(vision.post_layernorm.state_dict())


def predictions(model: YolosForObjectDetection, pixels: Tensor, layers: int) -> list[tuple[Tensor, Tensor]]:
    """Logits [N, Q, C + 1] and boxes [N, Q, 4] of the last `layers` layers, the last one last."""
    vit = model.vit
    hidden, states = vit.embeddings(pixels), []
    for layer in vit.encoder.layer:
        hidden = layer(hidden)
        states.append(hidden[:, -model.config.num_detection_tokens :])
    tokens = [vit.layernorm(state) for state in states[-layers:]]
    return [(model.class_labels_classifier(t).float(), model.bbox_predictor(t).float().sigmoid()) for t in tokens]


def corners(boxes: Tensor) -> Tensor:
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Of boxes cxcywh that broadcast against each other (Rezatofighi et al., 2019)."""
    a, b = corners(a), corners(b)
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0).prod(-1)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    return overlap / union.clamp_min(1e-9) - (hull - union) / hull.clamp_min(1e-9)


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Image, query and (concatenated) target index of every matched pair."""
    classes, truth = torch.cat([c for c, _ in targets]), torch.cat([b for _, b in targets])
    cost = 5 * torch.cdist(boxes.flatten(0, 1), truth, p=1) - logits.softmax(-1).flatten(0, 1)[:, classes]
    cost = (cost - 2 * generalised_iou(boxes.flatten(0, 1)[:, None], truth[None])).view(*boxes.shape[:2], -1)
    images, queries, found, start = [], [], [], 0
    for k, (labels, _) in enumerate(targets):
        q, t = linear_sum_assignment(cost[k, :, start : start + len(labels)].numpy())
        images.append(np.full(len(q), k))
        queries.append(q)
        found.append(t + start)
        start += len(labels)
    return tuple(torch.as_tensor(np.concatenate(x)) for x in (images, queries, found))


def set_loss(logits: Tensor, boxes: Tensor, targets: Targets, no_object: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy over all queries, and 5 L1 + 2 (1 - GIoU) over the matched ones (the weights of DETR)."""
    images, queries, found = match(logits.detach(), boxes.detach(), targets)
    classes, truth = torch.cat([c for c, _ in targets]), torch.cat([b for _, b in targets])
    wanted = torch.full(logits.shape[:2], logits.shape[-1] - 1)
    wanted[images, queries] = classes[found]
    weights = torch.ones(logits.shape[-1])
    weights[-1] = no_object
    classification = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weights)
    mine, theirs = boxes[images, queries], truth[found]
    location = 5 * (mine - theirs).abs().sum(-1).mean() + 2 * (1 - generalised_iou(mine, theirs)).mean()
    return classification, location


def batch_of(scenes: Scenes, objects: list[np.ndarray], rows: np.ndarray) -> tuple[Tensor, Targets]:
    size = scenes.images.shape[1]
    images = pixel_noise(jitter_colour(unit_batch(scenes.images, rows)), 0.06, 0.5)
    flips = torch.rand(len(rows)) < 0.5
    images[flips] = images[flips].flip(3)
    targets: Targets = []
    for row, flip in zip(rows, flips.tolist(), strict=True):
        which = objects[row]
        boxes = torch.as_tensor(scenes.boxes[which]) / size
        boxes = torch.cat([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], 1)
        if flip:
            boxes[:, 0] = 1 - boxes[:, 0]
        targets.append((torch.as_tensor(scenes.classes[which]), boxes))
    return images * 2 - 1, targets


def main() -> None:
    args = parse()
    setup(args)
    scenes = load_scenes(args.train, args.work / "cache")
    model = build(scenes.names)
    model.set_attn_implementation("eager")  # on CPUs its backward pass is faster than the fused kernel's
    start_from_clip(model, args.work / "clip" / "model")
    ema = Ema(model, 0.998)
    optimizer = make_optimizer([model], args.lr, 0.02, exclude=("embeddings", "tokens"))
    run = Run("yolos", args, {"model": model, "ema": ema, "optimizer": optimizer})
    if not args.export_only:
        train(args, run, model, ema, optimizer, scenes)
    export(ema.module, args.out)
    run.write_facts()


def train(args: argparse.Namespace, run: Run, model: YolosForObjectDetection, ema: Ema, optimizer, scenes: Scenes) -> None:
    rows, objects = split_rows(len(scenes))[0], scenes.objects()
    for _ in run.steps(optimizer, args.batch_size):
        batch = np.sort(rows[torch.randint(0, len(rows), (args.batch_size,)).numpy()])
        pixels, targets = batch_of(scenes, objects, batch)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = predictions(model, pixels, args.supervised_layers)
        losses = [set_loss(logits, boxes, targets, args.no_object) for logits, boxes in outputs]
        optimizer.zero_grad(set_to_none=True)
        sum(classification + location for classification, location in losses).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema.update(model)
        run.log(50, classes=losses[-1][0].item(), boxes=losses[-1][1].item())


if __name__ == "__main__":
    main()
