"""The PyTorch side of bench/grad.ts: one model of real size with random weights, driven by lines on stdin.

With "export" it writes the model and its inputs into FOLDER. Otherwise it answers "step float32", "step bfloat16",
"gradient FILE", "gradient64 FILE" (in double precision, after which no more steps follow), "matmul" and "peak" with one line of JSON each.
Usage: python bench/grad-torch.py CASE FOLDER THREADS [export]
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

warnings.filterwarnings("ignore")


class Clip(nn.Module):
    """CLIP ViT-B/32 (the defaults of its configuration) as a zero-shot classifier of 80 labels."""

    def __init__(self):
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        super().__init__()
        self.vision = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512))
        text = torch.randn(512, 80)
        self.register_buffer("text", text / text.norm(dim=0, keepdim=True))

    def forward(self, x):
        image = self.vision(pixel_values=x).image_embeds
        return 100 * (image / image.norm(dim=-1, keepdim=True)) @ self.text


class ResNet(nn.Module):
    """ResNet-50 (the defaults of its configuration), 1,000 labels."""

    def __init__(self):
        from transformers import ResNetConfig, ResNetForImageClassification

        super().__init__()
        self.model = ResNetForImageClassification(ResNetConfig(num_labels=1000))

    def forward(self, x):
        return self.model(pixel_values=x).logits


class UNet(nn.Module):
    """The UNet of Stable Diffusion 2 (the values of its unet/config.json), one sample of 64 x 64 latents."""

    def __init__(self, folder):
        from diffusers import UNet2DConditionModel

        super().__init__()
        config = {"sample_size": 64, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
        saved = (folder / "config.json").exists()
        self.model = UNet2DConditionModel.from_pretrained(folder) if saved else UNet2DConditionModel(**config)
        self.states = torch.randn(1, 77, 1024)

    def forward(self, x):
        return self.model(x, torch.tensor([500]), self.states).sample


SHAPES = {"clip": (8, 3, 224, 224), "resnet": (8, 3, 224, 224), "unet": (1, 4, 64, 64)}


def make(case, folder):
    torch.manual_seed(0)
    model = UNet(folder) if case == "unet" else {"clip": Clip, "resnet": ResNet}[case]()
    for p in model.parameters():
        p.requires_grad_(False)
    return model.eval()


def save(path, tensor):
    path.write_bytes(tensor.detach().float().contiguous().numpy().tobytes())


def export(case, folder, model):
    x = torch.rand(SHAPES[case])
    save(folder / "x.bin", x)
    with torch.no_grad():
        shape = model(x).shape
    save(folder / "cotangent.bin", torch.randn(shape))
    if case == "unet":
        save(folder / "states.bin", model.states)
        model.model.save_pretrained(folder)
        return
    torch.onnx.export(model, (x,), str(folder / "model.onnx"), dynamo=True, verbose=False, input_names=["x"], output_names=["logits"])


def load(path, shape):
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).reshape(shape)


def gradient(case, model, x, cotangent, precision):
    """Cross-entropy of the labels 0 ... 7 for the classifiers, a vector-Jacobian product for the UNet."""
    x = x.clone().requires_grad_(True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        out = model(x)
    out = out if precision == "float64" else out.float()
    if case == "unet":
        return torch.autograd.grad(out, x, cotangent)[0]
    loss = nn.functional.cross_entropy(out, torch.arange(len(x)), reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def matmul(n=2048):
    a, b = torch.randn(n, n), torch.randn(n, n)
    best = min(timed(lambda: a @ b) for _ in range(12))
    return 2 * n**3 / best / 1e9


def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def main(case, folder, threads, *rest):
    torch.set_num_threads(int(threads))
    folder = Path(folder)
    model = make(case, folder)
    if rest == ("export",):
        export(case, folder, model)
        return
    x = load(folder / "x.bin", SHAPES[case])
    cotangent = load(folder / "cotangent.bin", (1, 4, 64, 64) if case == "unet" else (8, -1))
    if case == "unet":
        model.states = load(folder / "states.bin", (1, 77, 1024))
    print(json.dumps({"ready": True, "version": torch.__version__}), flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        if command == "step":
            answer = {"seconds": timed(lambda: gradient(case, model, x, cotangent, args[0]))}
        elif command == "gradient":
            save(Path(args[0]), gradient(case, model, x, cotangent, "float32"))
            answer = {}
        elif command == "gradient64":
            save(Path(args[0]), gradient(case, model.double(), x.double(), cotangent.double(), "float64"))
            answer = {}
        elif command == "matmul":
            answer = {"gflops": matmul()}
        else:
            answer = {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
