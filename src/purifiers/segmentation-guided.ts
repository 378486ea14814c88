/** @file The paper's method: every object found is repainted inside its own box, with its own label as the prompt. */
import { z } from "zod";
import { binary, composite, erode, feather, fullMask, invert, maskFromBoxes, union } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import { random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { guidedFields, parseOptions } from "./options.ts";
import type { InpaintPipeline } from "./pipelines/inpaint.ts";
import type { Purified, Purifier, PurifierInput } from "./purifier.ts";

export const segmentationGuidedSchema = z.strictObject({
	...guidedFields,
	strength: guidedFields.strength.default(1),
	inpaint: z
		.enum(["inside", "outside"])
		.default("inside")
		.describe("inside: one object at a time, in its box; outside: once, everything but the boxes"),
	outsidePrompt: z.string().default("").describe("prompt of inpaint: outside"),
	padding: z.number().nonnegative().default(0).describe("pixels by which every box grows"),
	feather: z.number().nonnegative().default(0).describe("width in pixels over which the painting fades, inward from the mask's edge"),
	maxRegions: z.int().positive().default(16).describe("at most this many regions an image, the first ones given"),
	order: z
		.enum(["largest", "smallest", "given"])
		.default("largest")
		.describe("largest first, so that an object in front of a larger one is painted last and stays"),
});

export type SegmentationGuidedOptions = z.input<typeof segmentationGuidedSchema>;
type Options = z.output<typeof segmentationGuidedSchema>;

/** One piece of painting. */
interface Task {
	mask: Tensor;
	prompt: string;
	/** Place among the regions as given: part of the noise's key, so that the order of painting does not change the noise. */
	index: number;
}

/** An image on its way. */
interface Work {
	input: PurifierInput;
	image: Tensor;
	tasks: Task[];
	mask: Tensor;
}

/** `inside` and `outside` leave an image without regions as it is. Closing the purifier closes the pipeline. */
export function segmentationGuided(pipeline: InpaintPipeline, options: SegmentationGuidedOptions = {}): Purifier {
	const settings = parseOptions(segmentationGuidedSchema, options, "segmentation-guided");
	return {
		name: "segmentation-guided",
		options: { ...settings, modelHash: pipeline.hash },
		needsRegions: true,
		close: pipeline.close,
		async purify(inputs, { seed, repetition = 0, onProgress, signal }) {
			const works = inputs.map((input) => startWork(input, settings));
			const total = works.reduce((n, work) => n + work.tasks.length, 0);
			let finished = 0;
			for (let wave = nextWave(works, pipeline.batch); wave.length > 0; wave = nextWave(works, pipeline.batch)) {
				const tasks = wave.map((work) => work.tasks.shift() as Task);
				const jobs = wave.map(({ input, image }, i) => ({
					image,
					mask: tasks[i].mask,
					prompt: tasks[i].prompt,
					random: random(seed, input.id, "inpaint", repetition, tasks[i].index),
				}));
				const done = (share: number) => onProgress?.((finished + share * wave.length) / total);
				const painted = await pipeline.inpaint(jobs, { ...settings, onProgress: done, signal });
				for (const [i, work] of wave.entries()) {
					work.image = quantise(composite(work.image, painted[i], fading(tasks[i].mask, settings.feather)));
					work.mask = union(work.mask, tasks[i].mask);
				}
				finished += wave.length;
			}
			return works.map(({ image, mask }): Purified => ({ image, mask }));
		},
	};
}

function startWork(input: PurifierInput, settings: Options): Work {
	const [, height, width] = input.image.dims;
	return { input, image: quantise(input.image), tasks: tasksOf(input, settings), mask: fullMask({ height, width }, 0) };
}

const covers = (mask: Tensor) => mask.data.some((v) => v > 0);
const area = (mask: Tensor) => mask.data.reduce((sum, v) => sum + v, 0);

function tasksOf({ image, regions }: PurifierInput, settings: Options): Task[] {
	const [, height, width] = image.dims;
	const { padding, order } = settings;
	const used = regions.slice(0, settings.maxRegions);
	if (settings.inpaint === "outside") {
		const mask = invert(
			maskFromBoxes(
				used.map((r) => r.box),
				{ height, width },
				{ padding },
			),
		);
		return used.length > 0 && covers(mask) ? [{ mask, prompt: settings.outsidePrompt, index: 0 }] : [];
	}
	const tasks = used.map((region, index) => ({
		mask: maskFromBoxes([region.box], { height, width }, { padding }),
		prompt: region.prompt,
		index,
	}));
	const visible = tasks.filter((task) => covers(task.mask));
	if (order === "given") return visible;
	return visible.sort((a, b) => (area(b.mask) - area(a.mask)) * (order === "largest" ? 1 : -1) || a.index - b.index);
}

/** The images that go on together: those with the most left to do, so that batches stay full to the end; all of one size. */
function nextWave(works: readonly Work[], size: number): Work[] {
	const waiting = works.filter((work) => work.tasks.length > 0).sort((a, b) => b.tasks.length - a.tasks.length);
	return waiting.filter((work) => work.image.dims.join() === waiting[0].image.dims.join()).slice(0, size);
}

/** 1 deep inside the mask, falling towards its edge, 0 outside; a mask too thin to fade stays as it is. */
function fading(mask: Tensor, radius: number): Tensor {
	if (radius === 0) return mask;
	const core = erode(mask, radius);
	return covers(core) ? feather(binary(core), radius) : mask;
}
