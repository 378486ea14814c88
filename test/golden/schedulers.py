"""Full denoising loops of diffusers' schedulers, step by step, with a stand-in model and given noise -> schedulers.json,
and StableDiffusionInpaintPipeline with some of them -> inpaint_schedulers.safetensors.

    OMP_NUM_THREADS=1 python test/golden/schedulers.py

VP-SDE has no counterpart in diffusers: its loop is the published formula (Song et al. 2021, equation 6 with the coefficients of
equation 32; grid, score and forward process as in Nie et al. 2022), written down here in float64 on its own.
"""

import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from safetensors.torch import load_file, save_file

OUT = Path(__file__).parent / "schedulers.json"
SIZE, DRAWS = 4, 104

STABLE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
ZERO_SNR = dict(**STABLE, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing")
TINY = dict(trained_betas=[0.01, 0.02, 0.05, 0.1, 0.2, 0.3], num_train_timesteps=6)

# class, config, steps, options of the loop
CASES = [
    ("DDIM", dict(**STABLE, clip_sample=False, set_alpha_to_one=False, steps_offset=1), 12, dict(strength=0.6)),
    ("DDIM", dict(thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.8), 6, dict(eta=0.7)),
    ("DDIM", dict(**ZERO_SNR, clip_sample=False), 5, {}),
    ("DDIM", dict(**STABLE, clip_sample=False, timestep_spacing="trailing"), 48, {}),
    ("DDPM", dict(thresholding=True, dynamic_thresholding_ratio=0.7, sample_max_value=1.2, prediction_type="sample"), 6, {}),
    ("DDPM", dict(**ZERO_SNR, clip_sample=False), 8, dict(strength=0.5)),
    ("DDPM", dict(variance_type="learned_range"), 12, {}),
    ("DDPM", dict(variance_type="learned_range", beta_schedule="squaredcos_cap_v2"), [99, 74, 49, 24, 0], {}),
    ("PNDM", dict(**STABLE, skip_prk_steps=True, steps_offset=1), 10, {}),
    ("PNDM", dict(**STABLE, skip_prk_steps=True, steps_offset=1), 10, dict(strength=0.7)),
    ("PNDM", dict(**STABLE, skip_prk_steps=True, steps_offset=1), 10, dict(strength=0.9)),
    ("PNDM", dict(skip_prk_steps=True, prediction_type="v_prediction", timestep_spacing="trailing", set_alpha_to_one=True), 7, {}),
    ("PNDM", dict(skip_prk_steps=True, timestep_spacing="linspace", beta_schedule="squaredcos_cap_v2"), 6, {}),
    ("PNDM", dict(skip_prk_steps=True, timestep_spacing="linspace"), 1, {}),
    ("PNDM", dict(**STABLE), 7, {}),
    ("PNDM", dict(prediction_type="v_prediction", set_alpha_to_one=True), 4, {}),
    ("PNDM", dict(**STABLE, skip_prk_steps=True, steps_offset=1), 50, {}),
    ("PNDM", dict(**TINY, skip_prk_steps=True), 3, {}),
    ("EulerDiscrete", {}, 8, {}),
    ("EulerDiscrete", dict(**STABLE, timestep_spacing="leading", steps_offset=1), 8, {}),
    ("EulerDiscrete", dict(**STABLE, timestep_spacing="trailing"), 1, {}),
    ("EulerDiscrete", dict(**STABLE, timestep_spacing="trailing"), 4, dict(strength=0.5)),
    ("EulerDiscrete", dict(**STABLE, prediction_type="v_prediction"), 7, {}),
    ("EulerDiscrete", dict(prediction_type="sample", timestep_spacing="trailing"), 7, {}),
    ("EulerDiscrete", dict(**ZERO_SNR), 6, {}),
    ("EulerDiscrete", dict(**STABLE, use_karras_sigmas=True), 8, {}),
    ("EulerDiscrete", dict(use_karras_sigmas=True, sigma_min=0.05, sigma_max=10.0, final_sigmas_type="sigma_min"), 6, {}),
    ("EulerDiscrete", dict(**STABLE, use_exponential_sigmas=True), 6, {}),
    ("EulerDiscrete", dict(**STABLE, use_beta_sigmas=True), 6, {}),
    ("EulerDiscrete", dict(**STABLE, interpolation_type="log_linear"), 6, {}),
    ("EulerDiscrete", dict(**STABLE, prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True), 6, {}),
    ("EulerDiscrete", dict(beta_schedule="squaredcos_cap_v2", final_sigmas_type="sigma_min"), 5, {}),
    ("EulerDiscrete", dict(**STABLE), 6, dict(s_churn=2.0, s_tmin=0.1, s_tmax=10.0, s_noise=1.01)),
    ("EulerDiscrete", dict(**STABLE), [981, 700, 420, 111, 3], {}),
    ("EulerDiscrete", dict(**STABLE, timestep_spacing="leading", steps_offset=1), 30, {}),
    ("EulerDiscrete", dict(**STABLE, rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="sample"), 5, {}),
    ("EulerDiscrete", dict(**TINY), 3, {}),
    ("EulerAncestralDiscrete", {}, 8, {}),
    ("EulerAncestralDiscrete", dict(**STABLE, timestep_spacing="leading", steps_offset=1), 8, dict(strength=0.5)),
    ("EulerAncestralDiscrete", dict(**STABLE, timestep_spacing="trailing", prediction_type="v_prediction"), 7, {}),
    ("EulerAncestralDiscrete", dict(**ZERO_SNR), 6, {}),
    ("EulerAncestralDiscrete", dict(**STABLE), 30, {}),
    ("DPMSolverMultistep", {}, 8, {}),
    ("DPMSolverMultistep", dict(**STABLE), 16, {}),
    ("DPMSolverMultistep", dict(**STABLE, timestep_spacing="leading", steps_offset=1), 8, dict(strength=0.6)),
    ("DPMSolverMultistep", dict(**STABLE, timestep_spacing="trailing", prediction_type="v_prediction"), 7, {}),
    ("DPMSolverMultistep", dict(**ZERO_SNR), 6, {}),
    ("DPMSolverMultistep", dict(**ZERO_SNR, algorithm_type="sde-dpmsolver++"), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, solver_order=1), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, solver_order=3), 9, {}),
    ("DPMSolverMultistep", dict(**STABLE, solver_order=3, lower_order_final=False, final_sigmas_type="sigma_min"), 9, {}),
    ("DPMSolverMultistep", dict(**STABLE, solver_order=3, use_karras_sigmas=True), 15, {}),
    ("DPMSolverMultistep", dict(**STABLE, solver_type="heun", euler_at_final=True), 8, {}),
    ("DPMSolverMultistep", dict(prediction_type="sample", solver_type="heun"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, use_karras_sigmas=True), 10, {}),
    ("DPMSolverMultistep", dict(beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True), 6, {}),
    ("DPMSolverMultistep", dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1), 6, {}),
    ("DPMSolverMultistep", dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1, timestep_spacing="trailing"), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, use_exponential_sigmas=True), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, use_beta_sigmas=True), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, use_lu_lambdas=True), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, thresholding=True, dynamic_thresholding_ratio=0.8, sample_max_value=1.5), 6, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="dpmsolver", final_sigmas_type="sigma_min", solver_type="heun", prediction_type="v_prediction"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="dpmsolver", final_sigmas_type="sigma_min", solver_order=3, prediction_type="sample"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="dpmsolver", final_sigmas_type="sigma_min", thresholding=True), 5, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="sde-dpmsolver++"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="sde-dpmsolver++", solver_type="heun"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="sde-dpmsolver++", solver_order=3), 9, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min", solver_type="heun"), 8, {}),
    ("DPMSolverMultistep", dict(**STABLE), [981, 700, 420, 111, 3], {}),
    ("DPMSolverMultistep", dict(**STABLE, use_karras_sigmas=True), 25, {}),
    ("DPMSolverMultistep", dict(**STABLE, algorithm_type="sde-dpmsolver++", timestep_spacing="leading", steps_offset=1), 25, {}),
    ("DPMSolverMultistep", dict(**STABLE, timestep_spacing="trailing", prediction_type="sample"), 48, dict(strength=0.7)),
    ("DPMSolverMultistep", dict(**TINY), 3, {}),
    ("LCM", {}, 4, {}),
    ("LCM", {}, 1, {}),
    ("LCM", {}, 4, dict(strength=0.5)),
    ("LCM", dict(prediction_type="v_prediction", rescale_betas_zero_snr=True), 5, {}),
    ("LCM", dict(prediction_type="sample", timestep_scaling=1.0, original_inference_steps=100), 6, {}),
    ("LCM", dict(clip_sample=True, clip_sample_range=0.8, beta_schedule="linear", beta_start=0.0001, beta_end=0.02), 4, {}),
    ("LCM", dict(thresholding=True, dynamic_thresholding_ratio=0.8, sample_max_value=1.5), 4, {}),
    ("LCM", {}, [999, 739, 499, 19], {}),
]

# timesteps (falling, those of the forward process: DiffPure's t* is the first plus 1), config
VP_SDE = [(list(range(99, -1, -1)), {}), ([99, 74, 49, 24], {}), ([149, 100, 40], dict(beta_end=0.015, num_train_timesteps=500))]


def random(*dims, seed):
    return torch.randn(*dims, generator=torch.Generator().manual_seed(seed))


def model(sample, t):
    """Takes most of a noisy sample for noise, as a trained network would, and bends the rest."""
    return 0.9 * sample + 0.2 * torch.sin(2 * sample + t / 100)


def numbers(values):
    """float32 as the shortest decimals that give it back."""
    return [float(str(np.float32(v))) for v in torch.as_tensor(values).flatten().tolist()]


START, NOISE = random(1, SIZE, 1, 1, seed=20), random(DRAWS, SIZE, 1, 1, seed=21)


def loop(name, config, steps, options):
    cls = getattr(diffusers, f"{name}Scheduler")
    scheduler = cls(**config)
    strength, arguments = options.get("strength", 1), {k: v for k, v in options.items() if k != "strength"}
    cut = 0
    if isinstance(steps, list):
        scheduler.set_timesteps(timesteps=steps)
    elif name == "LCM":
        scheduler.set_timesteps(steps, strength=strength)
    else:
        scheduler.set_timesteps(steps)
        cut = max(steps - int(steps * strength), 0)
    timesteps = scheduler.timesteps[cut:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(cut)
    noised = scheduler.add_noise(START, NOISE[:1], timesteps[:1])
    sample = noised if strength < 1 else START * scheduler.init_noise_sigma
    module = sys.modules[cls.__module__]
    trace = []
    for i, t in enumerate(timesteps):
        draw = NOISE[i + 1 : i + 2]
        # Schedulers draw for themselves: the draw is replaced by the given one.
        module.randn_tensor = lambda *_, draw=draw, **__: draw
        if name == "DDIM" and arguments.get("eta"):
            arguments["variance_noise"] = draw
        output = model(scheduler.scale_model_input(sample, t), t)
        if config.get("variance_type") == "learned_range":
            output = torch.cat([output, torch.sin(3 * sample)], dim=1)
        sample = scheduler.step(output, t, sample, **arguments).prev_sample
        trace.append(numbers(sample))
    return {
        "scheduler": f"{name}Scheduler",
        "config": config,
        "steps": steps,
        **options,
        "timesteps": numbers(timesteps.float()),
        "initNoiseSigma": numbers([scheduler.init_noise_sigma])[0],
        "noised": numbers(noised),
        "trace": trace,
    }


def vp_sde(steps, config):
    n, start, end = config.get("num_train_timesteps", 1000), config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    low, high = n * start, n * end
    bar = np.cumprod(1 - np.linspace(start, end, n))[steps[0]]
    noised = np.sqrt(bar) * START.double() + np.sqrt(1 - bar) * NOISE[:1].double()
    times = [(k + 1) / n for k in steps] + [1e-5]
    sample, trace = noised, []
    for i, k in enumerate(steps):
        t, dt = times[i], times[i] - times[i + 1]
        beta = low + t * (high - low)
        score = -model(sample, k + 1) / np.sqrt(1 - np.exp(-0.5 * (high - low) * t**2 - low * t))
        sample = sample + (0.5 * beta * sample + beta * score) * dt + np.sqrt(beta * dt) * NOISE[i + 1 : i + 2].double()
        trace.append(numbers(sample))
    return {"scheduler": "VPSDE", "config": config, "steps": steps, "timesteps": [k + 1 for k in steps], "noised": numbers(noised), "trace": trace}


def inpaint():
    """The tiny pipeline of make_diffusers.py with other schedulers; `draws` holds the first noise and that of every step."""
    folder = Path(__file__).parent / "diffusers" / "inpaint"
    given = load_file(folder / "golden.safetensors")
    image, mask = given["image"][:1], given["mask"][:1]
    draws = random(8, 4, 8, 8, seed=22)
    pipe = diffusers.StableDiffusionInpaintPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    config = pipe.scheduler.config
    golden = {"draws": draws}
    with torch.no_grad():
        for name in ("DDPM", "PNDM", "EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "LCM"):
            # LCM's own pipelines give the strength to set_timesteps, which this one does not.
            for strength in (1.0,) if name == "LCM" else (1.0, 0.5):
                cls = getattr(diffusers, f"{name}Scheduler")
                pipe.scheduler = cls.from_config(config, **({"skip_prk_steps": True} if name == "PNDM" else {}))
                latents = draws[:1]
                if strength < 1:
                    # The pipeline multiplies given latents by init_noise_sigma; below full strength they are the noised image.
                    pipe.scheduler.set_timesteps(6)
                    start = pipe.get_timesteps(6, strength, "cpu")[0][:1]
                    encoded = pipe.vae.encode(image * 2 - 1).latents * pipe.vae.config.scaling_factor
                    latents = pipe.scheduler.add_noise(encoded, latents, start) / pipe.scheduler.init_noise_sigma
                queue = iter(draws[1:].split(1))
                sys.modules[cls.__module__].randn_tensor = lambda *_, queue=queue, **__: next(queue)
                arguments = dict(prompt="a photo of a dog", image=image, mask_image=mask, height=16, width=16, num_inference_steps=6)
                arguments |= dict(strength=strength, guidance_scale=3.0, latents=latents, output_type="pt")
                golden[f"{cls.__name__}_{strength}"] = pipe(**arguments).images
    save_file(golden, OUT.parent / "inpaint_schedulers.safetensors")


def main():
    cases = [loop(*case) for case in CASES] + [vp_sde(*case) for case in VP_SDE]
    text = ",\n".join(json.dumps(c) for c in cases)
    inpaint()
    OUT.write_text(f'{{"start": {numbers(START)}, "noise": {[numbers(n) for n in NOISE]}, "cases": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
