"""The frozen mini-clip, as the other trainers use it."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer


def load_clip(folder: Path) -> CLIPModel:
    if not (folder / "config.json").exists():
        raise SystemExit(f"{folder}: no mini-clip found; run clip.py first")
    return CLIPModel.from_pretrained(folder).eval().requires_grad_(False)


def load_teacher(folder: Path) -> Callable[[Tensor], Tensor]:
    """Patch features after the second to last layer, normalised over their channels."""
    vision = load_clip(folder).vision_model
    vision.encoder.layers = vision.encoder.layers[:-1]

    def features(pixels: Tensor) -> Tensor:
        hidden = vision(pixels).last_hidden_state
        return torch.nn.functional.layer_norm(hidden, hidden.shape[-1:])

    return features


def load_text_encoder(folder: Path) -> tuple[CLIPTextModel, CLIPTokenizer]:
    clip = load_clip(folder)
    text = CLIPTextModel(clip.config.text_config)
    text.load_state_dict(clip.text_model.state_dict())
    return text.eval().requires_grad_(False), CLIPTokenizer.from_pretrained(folder)
