"""Makes test/golden/diffusers: tiny random checkpoints in the layout of diffusers, and what diffusers computes with them.

    python test/golden/make_diffusers.py          (versions: test/golden/requirements.txt)
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerFast

OUT = Path(__file__).parent / "diffusers"


def lively(model, seed, scale=1.0):
    """Random weights large enough that every layer changes the output."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.ndim > 1:
            p.data = noise * scale / p[0].numel() ** 0.5
        elif name.endswith("weight"):
            p.data = 1 + 0.2 * noise
        else:
            p.data = 0.2 * noise
    return model.eval().requires_grad_(False)


def random(*dims, seed=0):
    return torch.randn(*dims, generator=torch.Generator().manual_seed(seed))


def save(model, name, golden, half=False):
    """The checkpoint and its golden tensors; float16 weights are rounded before the outputs are computed."""
    folder = OUT / name
    if half:
        model = model.half()
    model.save_pretrained(folder)
    model = model.float()
    save_file({k: v.contiguous() for k, v in golden(model).items()}, folder / "golden.safetensors")


def autoencoder_tiny():
    return lively(
        AutoencoderTiny(
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 2),
            num_decoder_blocks=(2, 1),
            latent_channels=4,
            scaling_factor=1.1,
        ),
        seed=1,
    )


def autoencoder_golden(model):
    image, latents = random(2, 3, 16, 16, seed=2).clamp(-1, 1), random(2, 4, 8, 8, seed=3)
    return {"image": image, "encoded": model.encode(image).latents, "latents": latents, "decoded": model.decode(latents).sample}


def kl_golden(model):
    image, latents = random(2, 3, 16, 16, seed=2).clamp(-1, 1), random(2, 4, 8, 8, seed=3)
    return {
        "image": image,
        "encoded": model.encode(image).latent_dist.mode(),
        "latents": latents,
        "decoded": model.decode(latents).sample,
    }


def unet_inpaint():
    """In the shape of Stable Diffusion 1: convolutions as projections, one head number for all blocks."""
    return lively(
        UNet2DConditionModel(
            sample_size=8,
            in_channels=9,
            out_channels=4,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=12,
            attention_head_dim=2,
            norm_num_groups=4,
        ),
        seed=4,
    )


def unet_sd2():
    """In the shape of Stable Diffusion 2 inpainting: four levels, linear projections, a list of head numbers."""
    return lively(
        UNet2DConditionModel(
            sample_size=8,
            in_channels=9,
            out_channels=4,
            block_out_channels=(8, 8, 12, 12),
            layers_per_block=2,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            cross_attention_dim=8,
            attention_head_dim=[1, 2, 3, 3],
            use_linear_projection=True,
            norm_num_groups=4,
        ),
        seed=5,
    )


def unet_condition_golden(height, width):
    def golden(model):
        sample = random(2, model.config.in_channels, height, width, seed=6)
        states = random(2, 5, model.config.cross_attention_dim, seed=7)
        outputs = {f"output_{t}": model(sample, t, states).sample for t in (0, 37, 999)}
        return {"sample": sample, "encoder_hidden_states": states, **outputs}

    return golden


def unet_ddpm(**changes):
    """In the layout of google/ddpm-*: sine before cosine, padding 0 below, one head a block."""
    config = dict(
        sample_size=8,
        block_out_channels=(8, 8, 12),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
        flip_sin_to_cos=False,
        freq_shift=1,
        downsample_padding=0,
        norm_eps=1e-6,
        norm_num_groups=4,
    )
    return lively(UNet2DModel(**{**config, **changes}), seed=8)


def unet_golden(model):
    sample = random(2, 3, 8, 8, seed=9)
    return {"sample": sample, **{f"output_{t}": model(sample, t).sample for t in (0, 40, 999)}}


def tokenizer():
    """CLIP's kind of tokenizer (lower case, byte-level BPE with </w>) with a handful of merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("d", "o"), ("do", "g</w>"), ("c", "a"), ("ca", "t</w>"), ("o", "f</w>"), ("p", "h"), ("ph", "o"), ("t", "o</w>")]
    words = alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges]
    vocab = {w: i for i, w in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    core = Tokenizer(models.BPE(vocab, merges, unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    bos, eos = vocab["<|startoftext|>"], vocab["<|endoftext|>"]
    core.post_processor = processors.RobertaProcessing(("<|endoftext|>", eos), ("<|startoftext|>", bos), trim_offsets=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=12,
    )


def slow_tokenizer(folder):
    """The files of older repositories, such as Stable Diffusion 2's: vocab.json and merges.txt, and another padding token."""
    core = json.loads(tokenizer().backend_tokenizer.to_str())["model"]
    tok = CLIPTokenizer(core["vocab"], [tuple(m) for m in core["merges"]], pad_token="!")
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(core["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(m) for m in core["merges"])]) + "\n")
    bounds = {"bos_token": {"content": "<|startoftext|>"}, "eos_token": {"content": "<|endoftext|>"}}
    config = {**bounds, "pad_token": "<|endoftext|>", "model_max_length": 12, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "!"}))
    tok.model_max_length = 12
    (folder / "golden.json").write_text(json.dumps({"prompts": PROMPTS, "input_ids": ids(tok, PROMPTS).tolist()}))


def text_encoder(tok, act="quick_gelu", seed=10):
    config = CLIPTextConfig(
        vocab_size=len(tok),
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=3,
        max_position_embeddings=12,
        hidden_act=act,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
        pad_token_id=tok.pad_token_id,
    )
    return lively(CLIPTextModel(config), seed=seed)


PROMPTS = ["", "a photo of a dog", "A photo of TWO  cats, naïve and far too long to fit"]


def ids(tok, prompts):
    return tok(prompts, padding="max_length", truncation=True, max_length=tok.model_max_length, return_tensors="pt").input_ids


def text_golden(tok):
    def golden(model):
        input_ids = ids(tok, PROMPTS)
        return {"input_ids": input_ids, "last_hidden_state": model(input_ids).last_hidden_state}

    return golden


def inpaint(folder):
    """The whole of StableDiffusionInpaintPipeline with given noise: two images, two masks, at two strengths."""
    pipe = StableDiffusionInpaintPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    levels = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(11))
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, 3:12, 2:9] = 1
    mask[1, :, 0:16, 5:16] = 1
    noise = random(2, 4, 8, 8, seed=12)
    golden = {"image": (levels / 255).contiguous(), "mask": mask, "noise": noise}
    for strength, guidance in ((1.0, 7.5), (0.5, 3.0), (1.0, 1.0)):
        outputs = []
        for i, prompt in enumerate(["a photo of a dog", "a cat"]):
            latents = noise[i : i + 1]
            if strength < 1:
                # The pipeline takes given latents as they are; below full strength they are the noised image.
                pipe.scheduler.set_timesteps(20)
                start = pipe.get_timesteps(20, strength, "cpu")[0][:1]
                encoded = pipe.vae.encode(golden["image"][i : i + 1] * 2 - 1).latents * pipe.vae.config.scaling_factor
                latents = pipe.scheduler.add_noise(encoded, latents, start)
            outputs.append(
                pipe(
                    prompt=prompt,
                    image=golden["image"][i : i + 1],
                    mask_image=mask[i : i + 1],
                    height=16,
                    width=16,
                    num_inference_steps=20,
                    strength=strength,
                    guidance_scale=guidance,
                    latents=latents,
                    output_type="pt",
                ).images
            )
        golden[f"output_{strength}_{guidance}"] = torch.cat(outputs)
    save_file(golden, folder / "golden.safetensors")


SCHEDULERS = [
    ("ddim", {}, 10, {}),
    ("ddim", {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}, 20, {}),
    ("ddim", {"prediction_type": "v_prediction", "clip_sample": False}, 10, {}),
    ("ddim", {"prediction_type": "sample"}, 10, {}),
    ("ddim", {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "clip_sample": False}, 7, {}),
    ("ddim", {"timestep_spacing": "linspace", "beta_schedule": "squaredcos_cap_v2"}, 7, {}),
    ("ddim", {"clip_sample_range": 0.5}, 10, {"eta": 1.0}),
    ("ddim", {"trained_betas": [0.01, 0.02, 0.05, 0.1, 0.2, 0.3], "num_train_timesteps": 6}, 3, {"eta": 0.5}),
    ("ddpm", {}, 10, {}),
    ("ddpm", {"variance_type": "fixed_large", "beta_schedule": "squaredcos_cap_v2"}, 12, {}),
    ("ddpm", {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "clip_sample": False}, 9, {}),
    ("ddpm", {"prediction_type": "sample", "timestep_spacing": "linspace"}, 9, {}),
    ("ddpm", {"beta_schedule": "scaled_linear", "steps_offset": 1, "clip_sample_range": 2.0}, 11, {}),
    ("ddpm", {}, [40, 25, 12, 3, 0], {}),
]


def schedulers():
    """Full loops with a stand-in model, sin(x + t / 100) / 2, and given noise at every step."""
    cases = []
    for name, config, steps, options in SCHEDULERS:
        scheduler = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[name](**config)
        if isinstance(steps, list):
            scheduler.set_timesteps(timesteps=steps)
        else:
            scheduler.set_timesteps(steps)
        sample, noise = random(1, 3, 2, 4, seed=20), random(64, 3, 2, 4, seed=21)
        start = sample.clone()
        noised = scheduler.add_noise(sample, noise[:1], scheduler.timesteps[:1])
        for i, t in enumerate(scheduler.timesteps):
            output = torch.sin(sample + t / 100) / 2
            if name == "ddim":
                sample = scheduler.step(output, t, sample, variance_noise=noise[i : i + 1] if options.get("eta") else None, **options).prev_sample
            else:
                # DDPMScheduler draws its own noise: the draw is replaced by the given one.
                import diffusers.schedulers.scheduling_ddpm as module

                draw, module.randn_tensor = module.randn_tensor, lambda *_, **__: noise[i : i + 1]
                sample = scheduler.step(output, t, sample).prev_sample
                module.randn_tensor = draw
        cases.append(
            {
                "scheduler": name,
                "config": config,
                "steps": steps,
                **options,
                "timesteps": scheduler.timesteps.tolist(),
                "start": start.flatten().tolist(),
                "noise": noise[: len(scheduler.timesteps)].flatten(1).tolist(),
                "noised": noised.flatten().tolist(),
                "result": sample.flatten().tolist(),
            }
        )
    text = ",\n".join(json.dumps(c, default=float) for c in cases)
    (OUT / "schedulers.json").write_text(f"[\n{text}\n]\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    tok = tokenizer()
    save(unet_sd2(), "unet-sd2", unet_condition_golden(9, 11), half=True)
    save(unet_ddpm(), "unet-ddpm", unet_golden)
    save(
        unet_ddpm(
            block_out_channels=(8, 12),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=4,
            flip_sin_to_cos=True,
            freq_shift=0,
            downsample_padding=1,
        ),
        "unet-ddpm-heads",
        unet_golden,
        half=True,
    )
    save(
        lively(
            AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(8, 12),
                layers_per_block=1,
                latent_channels=4,
                norm_num_groups=4,
            ),
            seed=13,
        ),
        "autoencoder-kl",
        kl_golden,
    )
    save(text_encoder(tok, act="gelu", seed=14), "text-encoder-gelu", text_golden(tok), half=True)

    pipeline = OUT / "inpaint"
    save(autoencoder_tiny(), "inpaint/vae", autoencoder_golden)
    save(unet_inpaint(), "inpaint/unet", unet_condition_golden(8, 8))
    save(text_encoder(tok), "inpaint/text_encoder", text_golden(tok))
    tok.save_pretrained(pipeline / "tokenizer")
    (pipeline / "tokenizer" / "golden.json").write_text(json.dumps({"prompts": PROMPTS, "input_ids": ids(tok, PROMPTS).tolist()}))
    DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    ).save_pretrained(pipeline / "scheduler")
    index = {
        "_class_name": "StableDiffusionInpaintPipeline",
        "_diffusers_version": "0.42.0",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny"],
    }
    (pipeline / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    inpaint(pipeline)
    slow_tokenizer(OUT / "clip-tokenizer")
    DDPMScheduler().save_pretrained(OUT / "ddpm-scheduler")
    schedulers()


if __name__ == "__main__":
    main()
