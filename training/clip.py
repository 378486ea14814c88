"""mini-clip: a CLIPModel trained with the sigmoid loss of SigLIP on the labels of scenes.

Besides the whole image, every patch token is compared with the prompts (target: the share of the patch that the
category covers). That dense loss is used in training only; it makes a small transformer learn several times faster.
"""

import argparse
import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from common import Ema, Run, base_parser, setup
from data import BACKGROUND, Scenes, jitter_colour, load_scenes, pixel_noise, shift, split_rows
from export_clip import export
from muon import make_optimizer
from prompts import TEMPLATE, TEMPLATES, build_tokenizer, encode

PATCH = 8


def parse() -> argparse.Namespace:
    parser = base_parser("Train mini-clip.", "mini-clip", minutes=16.5, batch_size=96, lr=1.5e-3)
    parser.add_argument("--dense", type=float, default=0.5, help="weight of the patch loss")
    return parser.parse_args()


def build_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    text = dict(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        projection_dim=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = dict(
        hidden_size=160,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=5,
        image_size=64,
        patch_size=PATCH,
        projection_dim=128,
    )
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)


class SigmoidClip(nn.Module):
    """CLIPModel with a learned logit scale and bias, for the image embedding and for the patch embeddings."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        # eager: on a CPU its backward pass in bfloat16 is more than twice as fast as sdpa's
        self.clip = CLIPModel._from_config(config, attn_implementation="eager")
        self.clip.logit_scale.requires_grad_(False)
        self.scale = nn.Parameter(torch.tensor([math.log(10.0), math.log(10.0)]))
        self.bias = nn.Parameter(torch.tensor([-3.0, -4.0]))

    def text(self, ids: Tensor) -> Tensor:
        pooled = self.clip.text_model(input_ids=ids).pooler_output
        return F.normalize(self.clip.text_projection(pooled).float(), dim=-1)

    def image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised embeddings of the image [N, D] and of its patches [N, P, D]."""
        vision = self.clip.vision_model
        tokens = vision.post_layernorm(vision(pixels).last_hidden_state)
        embeds = F.normalize(self.clip.visual_projection(tokens).float(), dim=-1)
        return embeds[:, 0], embeds[:, 1:]

    def logits(self, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        image, patches = self.image(pixels)
        text, scale = self.text(ids), self.scale.exp()
        return image @ text.T * scale[0] + self.bias[0], patches @ text.T * scale[1] + self.bias[1]


def normalise(images: np.ndarray | Tensor) -> Tensor:
    """uint8 [N, S, S, 3] or [0, 1] floats [N, 3, S, S] -> what the vision tower expects (mean and std 0.5)."""
    if isinstance(images, np.ndarray):
        images = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    return images * 2 - 1


def coverage(maps: np.ndarray, classes: int) -> Tensor:
    """Share of each patch covered by each class, [N, P, C]."""
    onehot = torch.as_tensor(maps.reshape(*maps.shape[:1], -1)).long()
    n, size = maps.shape[0], maps.shape[1]
    rows = torch.arange(size) // PATCH * (size // PATCH)
    patch = (rows[:, None] + torch.arange(size)[None] // PATCH).flatten()
    counts = torch.zeros(n, (size // PATCH) ** 2, BACKGROUND + 1)
    counts.view(n, -1).scatter_add_(1, patch * (BACKGROUND + 1) + onehot, torch.ones(n, size * size))
    return counts[:, :, :classes] / PATCH**2


def augmented(scenes: Scenes, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Images [N, 3, S, S], multi-hot labels [N, C], coverage [N, P, C] of shifted, flipped, recoloured scenes."""
    images, maps = scenes.images[rows], scenes.maps[rows]
    dx, dy = (int(d) for d in torch.randint(-6, 7, (2,)))
    images, maps = shift(images, dx, dy, None), shift(maps, dx, dy, BACKGROUND)
    if torch.rand(()) < 0.5:
        images, maps = images[:, :, ::-1], maps[:, :, ::-1]
    shares = coverage(np.ascontiguousarray(maps), len(scenes.names))
    visible = shares.sum(1) * PATCH**2
    before = coverage(scenes.maps[rows], len(scenes.names)).sum(1) * PATCH**2
    labels = ((visible >= 12) & (visible >= 0.3 * before)).float()
    pixels = torch.as_tensor(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return pixel_noise(jitter_colour(pixels), 0.02, 0.2), labels, shares


def sample_prompts(names: list[str]) -> list[str]:
    return [TEMPLATES[int(torch.randint(len(TEMPLATES), ()))].format(label=name) for name in names]


@torch.no_grad()
def score(model: SigmoidClip, images: np.ndarray, ids: Tensor, batch_size: int = 128) -> np.ndarray:
    """Logits [N, C] of uint8 images for the prompts."""
    parts = [images[k : k + batch_size] for k in range(0, len(images), batch_size)]
    return torch.cat([model.logits(normalise(np.asarray(part)), ids)[0] for part in parts]).numpy()


def precision_at_1(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(labels[np.arange(len(labels)), logits.argmax(1)].mean())


def mean_average_precision(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([average_precision_score(labels[:, k], logits[:, k]) for k in range(labels.shape[1])]))


def best_thresholds(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logit of each label that maximises F1."""
    result = np.empty(labels.shape[1])
    for k in range(labels.shape[1]):
        order = np.argsort(-logits[:, k])
        hits = np.cumsum(labels[order, k])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + labels[:, k].sum())
        best = int(f1.argmax())
        result[k] = logits[order[best : best + 2], k].mean()
    return result


def train(args: argparse.Namespace, run: Run, model: SigmoidClip, ema: Ema, optimizer, scenes: Scenes, tokenizer) -> None:
    rows, held = split_rows(len(scenes))
    ids = encode(tokenizer, [TEMPLATE.format(label=name) for name in scenes.names])
    for _ in run.steps(optimizer, args.batch_size):
        batch = np.sort(rows[torch.randint(0, len(rows), (args.batch_size,)).numpy()])
        images, labels, shares = augmented(scenes, batch)
        with torch.autocast("cpu", torch.bfloat16):
            whole, patches = model.logits(normalise(images), encode(tokenizer, sample_prompts(scenes.names)))
        loss = F.binary_cross_entropy_with_logits(whole, labels) * 10
        dense = F.binary_cross_entropy_with_logits(patches, shares) * 10
        optimizer.zero_grad(set_to_none=True)
        (loss + args.dense * dense).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema.update(model)
        run.log(50, loss=loss.item(), dense=dense.item())
        if run.step % 500 == 499:
            logits, truth = score(ema.module, scenes.images[held], ids), scenes.labels[held]
            p1, ap = precision_at_1(logits, truth), mean_average_precision(logits, truth)
            print(f"held out: P@1 {p1:.3f} mAP {ap:.3f}", flush=True)


def main() -> None:
    args = parse()
    setup(args)
    scenes = load_scenes(args.train, args.work / "cache")
    tokenizer = build_tokenizer(scenes.names)
    model = SigmoidClip(build_config(tokenizer))
    ema = Ema(model, 0.998)
    optimizer = make_optimizer([model], args.lr, 0.05, exclude=("embedding",))
    run = Run("clip", args, {"model": model, "ema": ema, "optimizer": optimizer})
    if not args.export_only:
        train(args, run, model, ema, optimizer, scenes, tokenizer)
    held = split_rows(len(scenes))[1]
    ids = encode(tokenizer, [TEMPLATE.format(label=name) for name in scenes.names])
    thresholds = best_thresholds(score(ema.module, scenes.images[held], ids), scenes.labels[held])
    export(ema.module, tokenizer, dict(zip(scenes.names, thresholds.tolist(), strict=True)), args.out)
    ema.module.clip.save_pretrained(args.work / "clip" / "model")
    tokenizer.save_pretrained(args.work / "clip" / "model")
    run.write_facts()


if __name__ == "__main__":
    main()
