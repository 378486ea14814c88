"""The diffusers side of bench/diffusion.ts: the same checkpoint, driven by lines on stdin.

"step" predicts and answers with the seconds, "output FILE" writes the prediction, "peak" tells the largest resident memory in bytes.
Usage: python bench/diffusion-torch.py FOLDER THREADS float32|bfloat16
"""

import json
import resource
import sys
import time
from pathlib import Path

import diffusers
import numpy
import torch
from diffusers import UNet2DConditionModel


def answer(**values):
    print(json.dumps(values), flush=True)


def main(folder, threads, dtype):
    torch.set_num_threads(int(threads))
    dtype = getattr(torch, dtype)
    folder = Path(folder)

    def load(file, *dims):
        return torch.from_numpy(numpy.fromfile(folder / file, numpy.float32)).reshape(dims).to(dtype)

    sample, states = load("sample.bin", 1, 9, 64, 64), load("states.bin", 1, 77, 1024)

    def step():
        start = time.perf_counter()
        with torch.inference_mode():
            output = model(sample, 500, states).sample
        return time.perf_counter() - start, output

    start = time.perf_counter()
    model = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype).eval()
    first = time.perf_counter() - start + step()[0]
    answer(open=first - step()[0], torch=torch.__version__, diffusers=diffusers.__version__)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "step":
            answer(seconds=step()[0])
        elif command == "peak":
            answer(bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        elif command == "output":
            step()[1].float().numpy().tofile(rest[0])
            answer(file=rest[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
