"""Makes test/golden/published_tensors.json and test/golden/published_tiny from the configurations in test/golden/published.

    python test/golden/published.py          (versions: test/golden/requirements.txt)

published_tensors.json: what the library itself says of each configuration at its real size: the number of tensors and of parameters, and a
sha256 over the lines "NAME DIM,DIM", sorted. published_tiny: for each shape a checkpoint with few channels and random weights, saved by
the library, with its outputs and the gradients of torch.autograd.
"""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel, UNet2DModel
from make_diffusers import lively, random
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
PUBLISHED, TINY = HERE / "published", HERE / "published_tiny"
CLASSES = {c.__name__: c for c in (AutoencoderKL, AutoencoderTiny, UNet2DConditionModel, UNet2DModel)}


def build(json_config):
    """The network of a configuration, by the class that it names."""
    if json_config.get("model_type") == "clip_text_model":
        return CLIPTextModel(CLIPTextConfig(**{k: v for k, v in json_config.items() if not k.startswith("_")}))
    return CLASSES[json_config["_class_name"]].from_config(json_config)


def facts(json_config):
    with torch.device("meta"):
        state = build(json_config).state_dict()
    dims = {name.removeprefix("text_model."): list(t.shape) for name, t in state.items() if not name.endswith("position_ids")}
    lines = "\n".join(sorted(f"{name} {','.join(map(str, d))}" for name, d in dims.items()))
    return {
        "tensors": len(dims),
        "parameters": sum(torch.Size(d).numel() for d in dims.values()),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def read(path):
    return json.loads((PUBLISHED / f"{path}.json").read_text())


def gradient(function, x, seed):
    """Of the sum of the output times a random cotangent, with respect to the input."""
    x = x.clone().requires_grad_()
    output = function(x)
    cotangent = random(*output.shape, seed=seed)
    (output * cotangent).sum().backward()
    return cotangent, x.grad


def unet_golden(model):
    """A conditional UNet at three timesteps; networks that read a guidance scale get it as LCM's pipeline computes it."""
    size = 2 ** (len(model.config.block_out_channels) - 1)
    sample, states = random(2, model.config.in_channels, size, size, seed=6), random(2, 5, model.config.cross_attention_dim, seed=7)
    tensors = {"sample": sample, "encoder_hidden_states": states}
    call = {}
    if model.config.time_cond_proj_dim is not None:
        from diffusers import LatentConsistencyModelPipeline

        w = torch.tensor(8.5 - 1).repeat(2)
        call["timestep_cond"] = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, w, embedding_dim=model.config.time_cond_proj_dim)
        tensors["timestep_cond"] = call["timestep_cond"][:1]
    for t in (0, 37, 999):
        tensors[f"output_{t}"] = model(sample, t, states, **call).sample
    tensors["cotangent"], tensors["gradient"] = gradient(lambda x: model(x, 37, states, **call).sample, sample, seed=30)
    return tensors


def ddpm_golden(model):
    size = 2 ** (len(model.config.block_out_channels) - 1)
    sample = random(1, 3, size, size, seed=9)
    tensors = {"sample": sample, **{f"output_{t}": model(sample, t).sample for t in (0, 37, 999)}}
    tensors["cotangent"], tensors["gradient"] = gradient(lambda x: model(x, 37).sample, sample, seed=31)
    return tensors


def autoencoder_golden(model):
    image, latents = random(2, 3, 16, 16, seed=2).clamp(-1, 1), random(2, 4, 2, 2, seed=3)
    encode = (lambda x: model.encode(x).latents) if isinstance(model, AutoencoderTiny) else (lambda x: model.encode(x).latent_dist.mode())
    tensors = {"image": image, "encoded": encode(image), "latents": latents, "decoded": model.decode(latents).sample}
    tensors["encoder_cotangent"], tensors["encoder_gradient"] = gradient(encode, image, seed=32)
    tensors["decoder_cotangent"], tensors["decoder_gradient"] = gradient(lambda z: model.decode(z).sample, latents, seed=33)
    return tensors


def text_golden(model):
    """The last layer, and one layer left out as with `clip_skip = 1` in diffusers' pipelines."""
    input_ids = torch.randint(0, model.config.vocab_size, (2, 9), generator=torch.Generator().manual_seed(34))
    output = model(input_ids, output_hidden_states=True)
    core = getattr(model, "text_model", model)
    skipped = core.final_layer_norm(output.hidden_states[-2])
    return {"input_ids": input_ids, "last_hidden_state": output.last_hidden_state, "clip_skip_1": skipped}


def narrow(path, golden, seed, name=None, **changes):
    """Saves the tiny checkpoint of a published shape. Every value that is not among the changes stays as published."""
    folder = TINY / (name or path.replace("/", "-"))
    model = lively(build({**read(path), **changes}), seed=seed).half()
    model.save_pretrained(folder)
    model = model.float()
    tensors = {name: t.detach().contiguous() for name, t in golden(model).items()}
    save_file(tensors, folder / "golden.safetensors")


def small_sd(few):
    """BK-SDM-Tiny and its relatives (arXiv:2305.15798): three levels, one ResNet a block, no middle block."""
    levels = {"block_out_channels": few["block_out_channels"][:3], "norm_num_groups": few["norm_num_groups"]}
    down, up = ["CrossAttnDownBlock2D"] * 3, ["CrossAttnUpBlock2D"] * 3
    shape = {**levels, "layers_per_block": 1, "mid_block_type": None, "down_block_types": down, "up_block_types": up}
    narrow("sd1.5/unet", unet_golden, 52, name="without-middle-unet", cross_attention_dim=6, attention_head_dim=2, **shape)


def main():
    paths = sorted(str(p.relative_to(PUBLISHED))[: -len(".json")] for p in PUBLISHED.glob("*/*.json"))
    networks = [p for p in paths if p.split("/")[1] in ("unet", "vae", "text_encoder")]
    lines = ",\n".join(f"  {json.dumps(p)}: {json.dumps(facts(read(p)))}" for p in networks)
    (HERE / "published_tensors.json").write_text("{\n" + lines + "\n}\n")

    shutil.rmtree(TINY, ignore_errors=True)
    few = {"block_out_channels": [4, 4, 8, 8], "norm_num_groups": 2}
    sd1 = {**few, "cross_attention_dim": 6, "attention_head_dim": 2}
    sd2 = {**few, "cross_attention_dim": 6, "attention_head_dim": [1, 2, 4, 4]}
    narrow("sd1.5/unet", unet_golden, 40, **sd1)
    narrow("sd1.5-inpainting/unet", unet_golden, 41, **sd1)
    narrow("sd2.1/unet", unet_golden, 42, **sd2)
    narrow("sd2-inpainting/unet", unet_golden, 43, **sd2)
    narrow("sd-turbo/unet", unet_golden, 44, **sd2)
    narrow("lcm-dreamshaper/unet", unet_golden, 45, **sd1, time_cond_proj_dim=32)
    small_sd(few)
    narrow("sd1.5/vae", autoencoder_golden, 46, **few)
    narrow("taesd/vae", autoencoder_golden, 47, encoder_block_out_channels=[4] * 4, decoder_block_out_channels=[4] * 4)
    ddpm_few = {"block_out_channels": [4, 8, 8, 8], "norm_num_groups": 2}
    narrow("ddpm-cifar10-32/unet", ddpm_golden, 48, **ddpm_few)
    narrow("ddpm-256/unet", ddpm_golden, 49, block_out_channels=[4, 4, 4, 4, 8, 8], norm_num_groups=2)
    small_text = {"hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2, "vocab_size": 40}
    narrow("sd1.5/text_encoder", text_golden, 50, **small_text)
    narrow("sd2.1/text_encoder", text_golden, 51, **small_text)


if __name__ == "__main__":
    main()
