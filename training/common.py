"""What every trainer shares: arguments, time budget, learning rate, checkpoints, EMA, metrics, contact sheets."""

import argparse
import copy
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent


def base_parser(
    description: str, name: str, batch_size: int, lr: float, minutes: float | None = None, steps: int | None = None
) -> argparse.ArgumentParser:
    """The options that all trainers have; the defaults reproduce the committed model. The budget is `minutes` or `steps`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--train", type=Path, default=ROOT / "training/work/data/train", help="COCO folder of scenes")
    parser.add_argument("--work", type=Path, default=ROOT / "training/work", help="caches, checkpoints, pictures")
    parser.add_argument("--out", type=Path, default=ROOT / "models" / name, help="where the model is exported to")
    parser.add_argument("--minutes", type=float, default=minutes, help="time budget, counted over all resumes")
    parser.add_argument("--steps", type=int, default=steps, help="budget in steps, counted over all resumes, instead of --minutes")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="samples a step")
    parser.add_argument("--lr", type=float, default=lr, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the sampling")
    parser.add_argument("--export-only", action="store_true", help="export the last checkpoint without training")
    return parser


def setup(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)


class Ema:
    """Exponential moving average of a module's parameters; the horizon grows with the number of updates."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict:
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]


class Run:
    """A resumable training run: everything in `parts` is saved to and restored from one checkpoint file."""

    def __init__(self, name: str, args: argparse.Namespace, parts: dict, save_every: float = 60.0) -> None:
        self.folder = args.work / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "checkpoint.pt"
        self.parts = parts
        self.seconds = None if args.minutes is None else args.minutes * 60
        self.limit = args.steps
        self.lr = args.lr
        self.elapsed = 0.0
        self.step = 0
        self.samples = 0
        self.save_every = save_every
        self.stopped = False
        if self.path.exists():
            self._load()
        # another draw than the interrupted run's, still a function of the seed and of the step
        torch.manual_seed(args.seed * 1_000_003 + self.step)

    def _load(self) -> None:
        state = torch.load(self.path, weights_only=False)
        for key, part in self.parts.items():
            if key in state["parts"]:
                part.load_state_dict(state["parts"][key])
        self.elapsed, self.step, self.samples = state["elapsed"], state["step"], state["samples"]
        print(f"resumed at step {self.step}, {self.elapsed / 60:.1f} min, {self.samples} samples", flush=True)

    def save(self) -> None:
        parts = {key: part.state_dict() for key, part in self.parts.items()}
        temporary = self.path.with_suffix(".tmp")
        torch.save(
            {"parts": parts, "elapsed": self.elapsed, "step": self.step, "samples": self.samples}, temporary
        )
        os.replace(temporary, self.path)

    @property
    def progress(self) -> float:
        """Spent part of the budget: of the steps, if it is counted in them."""
        spent = self.step / self.limit if self.limit else self.elapsed / self.seconds
        return min(1.0, spent)

    def rate(self, warmup: int = 100, cooldown: float = 0.4) -> float:
        """Warm-up, plateau, linear decay over the last part of the budget (a longer budget can be resumed)."""
        decay = min(1.0, (1 - self.progress) / cooldown)
        return self.lr * min(1.0, (self.step + 1) / warmup) * max(decay, 0.01)

    def steps(self, optimizer: torch.optim.Optimizer, batch_size: int) -> Iterator[int]:
        """Yields until the budget is spent or a signal arrives; sets the learning rate; saves as it goes."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stopped", True))
        last = saved = time.monotonic()
        while self.progress < 1 and not self.stopped:
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
            yield self.step
            self.step += 1
            self.samples += batch_size
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if now - saved > self.save_every:
                self.save()
                saved = now
        self.save()

    def log(self, every: int, **values: float) -> None:
        if self.step % every == 0:
            text = " ".join(f"{key} {value:.4f}" for key, value in values.items())
            speed = self.samples / max(self.elapsed, 1e-9)
            print(f"step {self.step} {self.elapsed / 60:.1f} min {speed:.0f}/s {text}", flush=True)

    def write_facts(self, **measured: float) -> None:
        """What the training took, as training.json beside the checkpoint."""
        facts = {"minutes": round(self.elapsed / 60, 1), "steps": self.step, "samples": self.samples}
        write_json(self.folder / "training.json", {**facts, "torch": torch.__version__, **measured})


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def tidy(folder: Path) -> None:
    """After save_pretrained: no paths of this machine in configurations, files readable by everybody."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
        if path.name == "config.json":
            config = json.loads(path.read_text())
            config.pop("_name_or_path", None)
            write_json(path, config)


def to_unit(images: np.ndarray | Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float [N, 3, H, W] in [0, 1]."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float().div_(255)


def contact_sheet(rows: list[Tensor], path: Path, zoom: int = 3) -> None:
    """Rows of [N, 3, H, W] images in [0, 1], one row under the other, as a PNG."""
    sheet = torch.cat([torch.cat(list(row.float().clamp(0, 1)), dim=2) for row in rows], dim=1)
    pixels = (sheet.permute(1, 2, 0) * 255).round().byte().numpy()
    image = Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST).save(path)


def bootstrap(values: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean, draws: int = 1000) -> list[float]:
    """95 % percentile interval; `values` [N, ...] is resampled along its first axis."""
    rng = np.random.default_rng(0)
    results = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(draws)]
    return [float(x) for x in np.percentile(results, [2.5, 97.5])]
