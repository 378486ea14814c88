"""mini-clip in the layout of the Hub: configuration, tokenizer, two ONNX graphs, calibrated thresholds."""

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPTokenizer

from common import write_json
from prompts import TEMPLATE, encode

OPSET = 18


class VisionTower(nn.Module):
    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.model, self.projection = clip.vision_model, clip.visual_projection

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.projection(self.model(pixel_values).pooler_output)


class TextTower(nn.Module):
    """Only input_ids: the mask is causal, so what follows <|endoftext|> cannot change the pooled token."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.model, self.projection = clip.text_model, clip.text_projection

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.projection(self.model(input_ids=input_ids).pooler_output)


def export_onnx(model: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> None:
    """One file, dynamic batch, checked against PyTorch on a second batch size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model.eval().float()
    batch = torch.export.Dim("batch", min=1, max=4096)
    torch.onnx.export(
        model,
        kwargs=inputs,
        f=str(path),
        input_names=list(inputs),
        output_names=outputs,
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes={name: {0: batch} for name in inputs},
        external_data=False,
        optimize=True,
        verbose=False,
    )
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    for node in graph.graph.node:  # traces of the exporter: Python stack and module paths of the machine
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.graph.metadata_props[:], graph.metadata_props[:]
    for value in [*graph.graph.value_info, *graph.graph.input, *graph.graph.output]:
        del value.metadata_props[:]
    onnx.save(graph, path)
    more = {name: torch.cat([value, value.flip(-1)]) for name, value in inputs.items()}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model(**more)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = session.run(outputs, {name: value.numpy() for name, value in more.items()})
    error = max(float(np.abs(f - e.numpy()).max()) for f, e in zip(found, expected, strict=True))
    print(f"{path}: ONNX Runtime differs by {error:.1e}; operators {sorted({n.op_type for n in graph.graph.node})}")
    if error > 1e-4:
        raise SystemExit(f"{path}: ONNX Runtime and PyTorch differ by {error:.1e}, expected less than 1e-4")


def export(model: nn.Module, tokenizer: CLIPTokenizer, thresholds: dict[str, float], out: Path) -> None:
    clip = copy.deepcopy(model.clip).float().eval()
    clip.set_attn_implementation("eager")
    out.mkdir(parents=True, exist_ok=True)
    config = {**clip.config.to_diff_dict(), "architectures": ["CLIPModel"]}
    for tower in (clip.config.text_config, clip.config.vision_config):
        config[tower.model_type.removeprefix("clip_").replace("_model", "_config")] = tower.to_diff_dict()
    config["logit_scale"] = float(model.scale.detach().exp()[0])
    config["logit_bias"] = float(model.bias.detach()[0])
    write_json(out / "config.json", config)
    half = [0.5, 0.5, 0.5]
    CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_mean=half, image_std=half
    ).save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_json(out / "thresholds.json", {"prompt": TEMPLATE, "thresholds": thresholds})
    export_onnx(
        VisionTower(clip), {"pixel_values": torch.rand(2, 3, 64, 64) * 2 - 1}, ["image_embeds"], out / "onnx/vision_model.onnx"
    )
    ids = encode(tokenizer, [TEMPLATE.format(label=label) for label in thresholds][:3])
    export_onnx(TextTower(clip), {"input_ids": ids}, ["text_embeds"], out / "onnx/text_model.onnx")
