/** @file The walk that both UNets share: down, middle, up, with every intermediate carried across. */
import { downsample, resnet, upsample } from "./blocks.ts";
import { conv2d, type Feature, type GroupNormOptions, groupNorm, type Net, silu } from "./layers.ts";

export interface UNetDims {
	batch: number | string;
	/** Of the sample that is denoised. */
	height: number;
	width: number;
}

export interface UNetPlan {
	blockOutChannels: readonly number[];
	/** ResNets of each block on the way down; on the way up there is one more. */
	layersPerBlock: readonly number[];
	outChannels: number;
	norm: GroupNormOptions;
	downsamplePadding: number;
	midScale: number;
	time: { value: string; channels: number };
	/** Whether time scales and shifts in the ResNets instead of being added. */
	scaleShift?: boolean;
	/** Levels whose map is halved on the way down, or doubled on the way up, by a ResNet and not by one convolution. */
	resnetDown?: readonly boolean[];
	resnetUp?: readonly boolean[];
	/** The attention that follows each ResNet of a block, if its type has one; levels count from the outermost. */
	down: readonly (Attend | undefined)[];
	middle: Attend | undefined;
	/** Some small models have no middle block at all. */
	hasMiddle?: boolean;
	up: readonly (Attend | undefined)[];
}

/** Writes the attention of one kind of block under this name. */
export type Attend = (net: Net, name: string, x: Feature) => Feature;

/** `x` is the sample; the result has `outChannels` channels and the same size. */
export function unet(net: Net, sample: Feature, plan: UNetPlan): Feature {
	const { norm, time, scaleShift = false, resnetDown = [], resnetUp = [] } = plan;
	const shared = { norm, time, scaleShift };
	const levels = plan.blockOutChannels.length;
	let x = conv2d(net, "conv_in", sample, { out: plan.blockOutChannels[0] });
	const skips: Feature[] = [x];

	for (let level = 0; level < levels; level++) {
		const block = `down_blocks.${level}`;
		const attend = plan.down[level];
		for (let i = 0; i < plan.layersPerBlock[level]; i++) {
			x = resnet(net, `${block}.resnets.${i}`, x, { ...shared, out: plan.blockOutChannels[level] });
			if (attend) x = attend(net, `${block}.attentions.${i}`, x);
			skips.push(x);
		}
		if (level === levels - 1) continue;
		const down = `${block}.downsamplers.0`;
		x = resnetDown[level]
			? resnet(net, down, x, { ...shared, out: x.channels, resample: "down" })
			: downsample(net, down, x, plan.downsamplePadding);
		skips.push(x);
	}

	if (plan.hasMiddle ?? true) {
		x = resnet(net, "mid_block.resnets.0", x, { ...shared, out: x.channels, outputScale: plan.midScale });
		if (plan.middle) x = plan.middle(net, "mid_block.attentions.0", x);
		x = resnet(net, "mid_block.resnets.1", x, { ...shared, out: x.channels, outputScale: plan.midScale });
	}

	for (let level = levels - 1; level >= 0; level--) {
		const block = `up_blocks.${levels - 1 - level}`;
		const attend = plan.up[level];
		for (let i = 0; i <= plan.layersPerBlock[level]; i++) {
			x = concat(net, x, skips.pop());
			x = resnet(net, `${block}.resnets.${i}`, x, { ...shared, out: plan.blockOutChannels[level] });
			if (attend) x = attend(net, `${block}.attentions.${i}`, x);
		}
		// Sizes that do not halve evenly: the next skip tells how large the enlarged map must be.
		const next = skips.at(-1);
		if (!next) continue;
		const up = `${block}.upsamplers.0`;
		x = resnetUp[level]
			? resnet(net, up, x, { ...shared, out: x.channels, resample: "up" })
			: upsample(net, up, x, next.height, next.width);
	}

	const normal = groupNorm(net, "conv_norm_out", x, norm);
	return conv2d(net, "conv_out", { ...normal, value: silu(net, normal.value) }, { out: plan.outChannels });
}

function concat({ g }: Net, x: Feature, skip: Feature | undefined): Feature {
	if (!skip) return x;
	return { ...x, channels: x.channels + skip.channels, value: g.op("Concat", [x.value, skip.value], { axis: 1 }) };
}
