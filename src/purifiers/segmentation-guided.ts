/** @file The paper's method: every object found is repainted inside its own box, with its own label as the prompt. */
import { z } from "zod";
import { binary, composite, erode, feather, fullMask, invert, maskFromBoxes, union } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import { random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Crop, cropAround, cut, paste } from "./crops.ts";
import { guidedFields, parseOptions, resampleField } from "./options.ts";
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
	independentRegions: z
		.boolean()
		.default(false)
		.describe("objects whose masks do not touch are painted from the same image, so that they fill batches; none sees the other repaired"),
	crop: z
		.int()
		.nonnegative()
		.optional()
		.describe("paint the mask and this many pixels around it by themselves; default: the whole image (docs/diffusion.md)"),
	cropResolution: z
		.enum(["model", "image"])
		.default("model")
		.describe("model: small crops are enlarged to the model's resolution, as good and as slow as it; image: painted as they are, faster"),
	resample: resampleField.describe("RePaint, for models of 4 channels; default off; {} for the paper's jumps (docs/diffusion.md)"),
});

export type SegmentationGuidedOptions = z.input<typeof segmentationGuidedSchema>;
type Options = z.output<typeof segmentationGuidedSchema>;

/** One piece of painting. */
interface Task {
	mask: Tensor;
	crop: Crop | undefined;
	prompt: string;
	/** Place among the regions as given: part of the noise's key, so that the order of painting does not change the noise. */
	index: number;
}

/** An image on its way. */
interface Work {
	input: PurifierInput;
	image: Tensor;
	/** Tasks of one round start from the same image. */
	rounds: Task[][];
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
			const works = inputs.map((input) => startWork(input, settings, pipeline));
			const total = works.reduce((n, work) => n + work.rounds.flat().length, 0);
			// Rounds of several objects fill batches best with those of all images.
			const size = settings.independentRegions ? works.length : pipeline.batch;
			let finished = 0;
			for (let wave = nextWave(works, size); wave.length > 0; wave = nextWave(works, size)) {
				const painting = wave.flatMap((work) => (work.rounds.shift() as Task[]).map((task) => ({ work, task })));
				const jobs = painting.map(({ work: { input, image }, task: { mask, crop, prompt, index } }) => ({
					...(crop ? cut({ image, mask }, crop) : { image, mask }),
					prompt,
					random: random(seed, input.id, "inpaint", repetition, index),
				}));
				const done = (share: number) => onProgress?.((finished + share * painting.length) / total);
				const painted = await pipeline.inpaint(jobs, { ...settings, onProgress: done, signal });
				for (const [i, { work, task }] of painting.entries()) {
					const whole = task.crop ? paste(work.image, painted[i], task.crop) : painted[i];
					work.image = quantise(composite(work.image, whole, fading(task.mask, settings.feather)));
					work.mask = union(work.mask, task.mask);
				}
				finished += painting.length;
			}
			return works.map(({ image, mask }): Purified => ({ image, mask }));
		},
	};
}

function startWork(input: PurifierInput, settings: Options, { resolution, autoencoder }: InpaintPipeline): Work {
	const [, height, width] = input.image.dims;
	const { crop: margin, cropResolution, independentRegions } = settings;
	const crops = { resolution, enlarge: cropResolution === "model", multiple: autoencoder.scale };
	const tasks = piecesOf(input, settings).map((piece) => ({
		...piece,
		crop: margin === undefined ? undefined : cropAround(piece.mask, { ...crops, margin }),
	}));
	const rounds = independentRegions ? independentRounds(tasks) : tasks.map((task) => [task]);
	return { input, image: quantise(input.image), rounds, mask: fullMask({ height, width }, 0) };
}

const covers = (mask: Tensor) => mask.data.some((v) => v > 0);
const area = (mask: Tensor) => mask.data.reduce((sum, v) => sum + v, 0);

function piecesOf({ image, regions }: PurifierInput, settings: Options): Omit<Task, "crop">[] {
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

/** Every task goes into the round after the last one with a task that it overlaps: what is painted over what stays the same. */
function independentRounds(tasks: readonly Task[]): Task[][] {
	const rounds: Task[][] = [];
	for (const task of tasks) {
		const after = rounds.findLastIndex((round) => round.some((other) => overlap(other.mask, task.mask))) + 1;
		rounds[after] = [...(rounds[after] ?? []), task];
	}
	return rounds;
}

const overlap = (a: Tensor, b: Tensor) => a.data.some((v, i) => v > 0 && b.data[i] > 0);

/** The images that go on together: those with the most left to do, so that batches stay full to the end; all of one size. */
function nextWave(works: readonly Work[], size: number): Work[] {
	const waiting = works.filter((work) => work.rounds.length > 0).sort((a, b) => b.rounds.length - a.rounds.length);
	return waiting.filter((work) => work.image.dims.join() === waiting[0].image.dims.join()).slice(0, size);
}

/** 1 deep inside the mask, falling towards its edge, 0 outside; a mask too thin to fade stays as it is. */
function fading(mask: Tensor, radius: number): Tensor {
	if (radius === 0) return mask;
	const core = erode(mask, radius);
	return covers(core) ? feather(binary(core), radius) : mask;
}
