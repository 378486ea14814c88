"""mini-yolos in the layout of the Hub: configuration, preprocessing, one ONNX graph."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import YolosForObjectDetection

from common import write_json
from export_clip import export_onnx


class Detector(nn.Module):
    """Position embeddings are used as they are: at the training size their bicubic resizing is the identity."""

    def __init__(self, model: YolosForObjectDetection) -> None:
        super().__init__()
        self.model = model
        self.model.vit.embeddings.interpolation = KeepPositions()

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.model(pixel_values)
        return outputs.logits, outputs.pred_boxes


class KeepPositions(nn.Module):
    def forward(self, positions: Tensor, size: tuple[int, int]) -> Tensor:  # noqa: ARG002  (signature of YOLOS)
        return positions


def export(trained: YolosForObjectDetection, out: Path) -> None:
    model = copy.deepcopy(trained).float().eval()
    model.set_attn_implementation("eager")
    out.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config.update(architectures=["YolosForObjectDetection"])
    write_json(out / "config.json", config)
    write_json(
        out / "preprocessor_config.json",
        {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_pad": False,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "YolosImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "resample": 2,
            "rescale_factor": 1 / 255,
            "size": {"height": 64, "width": 64},
        },
    )
    example = {"pixel_values": torch.rand(2, 3, 64, 64) * 2 - 1}
    export_onnx(Detector(model), example, ["logits", "pred_boxes"], out / "onnx/model.onnx")
