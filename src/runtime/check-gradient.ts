/** @file Checks a gradient graph where it will run: in ONNX Runtime, at random inputs, along random directions. */
import { checkLine, type LineCheck, type Verdict } from "../autodiff/directional.ts";
import { cotangentName, gradientName } from "../autodiff/vjp.ts";
import { KintsugiError } from "../errors.ts";
import type { Graph } from "../onnx/graph.ts";
import { prune } from "../onnx/prune.ts";
import { random } from "../tensor/random.ts";
import { type DType, type Tensor, tensor } from "../tensor/tensor.ts";
import { drawInputs, scaleOf } from "./draw-inputs.ts";
import { openPrepared, openSession, type Session, type SessionOptions, type Tensors } from "./session.ts";

export interface CheckGradientOptions extends Pick<SessionOptions, "threads"> {
	of: readonly string[];
	/** Inputs only: other values cannot be moved. */
	wrt: readonly string[];
	/** The graph was made by `lossGradientGraph` and not by `vjp`. */
	loss?: boolean | undefined;
	/** The model itself, to compare the outputs with. */
	model?: Graph | undefined;
	seed?: number;
	/** Float inputs are drawn from here, uniformly. */
	range?: readonly [low: number, high: number];
	/** Directions for each input: the sign of the gradient, then random signs. */
	directions?: number;
	onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface CheckedDirection extends LineCheck {
	wrt: string;
	direction: "sign of the gradient" | "random signs";
}

export interface GradientCheck {
	/** "disagrees" if any direction does; "agrees" if none does and at least half of them agree. */
	verdict: Verdict;
	directions: CheckedDirection[];
	/** Inputs that were not drawn at random, and what they were filled with. */
	filled: Record<string, "zeros" | "ones">;
	/** Largest difference of the outputs to those of the model itself, over their largest value; undefined without `model`. */
	outputs: number | undefined;
}

/** Compares the gradients of a graph with differences of its own outputs (see `checkLine`); every direction has inputs of its own. */
export async function checkGradient(graph: Graph, options: CheckGradientOptions): Promise<GradientCheck> {
	const { of, wrt, loss = false, model, directions = 4, seed = 0, range = [0, 1], onProgress, ...session } = options;
	for (const name of wrt) checkMovable(graph, name);
	const drawFor = (opened: Session, ...key: (string | number)[]) =>
		drawInputs(opened.inputs, random("gradient check", seed, ...key), { range, wrt, loss });
	const opened = await openSession(graph, session);
	const checked: CheckedDirection[] = [];
	const { feeds, filled } = drawFor(opened, "outputs");
	let found: Tensors;
	try {
		for (const name of wrt) {
			for (let n = 0; n < directions; n++) {
				const done = checked.length;
				const progress = (share: number) => onProgress?.(done + share, wrt.length * directions);
				progress(0);
				checked.push(
					await checkDirection(opened, { of, wrt: name, loss, n, range, seed, progress, feeds: drawFor(opened, name, n).feeds }),
				);
			}
		}
		found = await opened.run(feeds);
	} finally {
		await opened.close();
	}
	// Opened only now: two copies of large weights may not fit into memory.
	const expected = model && (await runModel(model, of, feeds, session));
	const gaps = expected && of.map((name) => difference(found[loss ? "logits" : name], expected[name]));
	return { verdict: overall(checked), directions: checked, filled, outputs: gaps && Math.max(...gaps) };
}

function overall(checked: readonly CheckedDirection[]): Verdict {
	const count = (verdict: Verdict) => checked.filter((c) => c.verdict === verdict).length;
	if (count("disagrees") > 0) return "disagrees";
	return 2 * count("agrees") >= checked.length ? "agrees" : "unclear";
}

interface DirectionParts {
	of: readonly string[];
	wrt: string;
	loss: boolean;
	n: number;
	range: readonly [number, number];
	feeds: Tensors;
	seed: number;
	progress: (share: number) => void;
}

async function checkDirection(session: Session, parts: DirectionParts): Promise<CheckedDirection> {
	const { of, wrt, loss, n, range, feeds, seed, progress } = parts;
	const x = feeds[wrt] as Tensor;
	const at = async (moved: Float32Array) => {
		const results = await session.run({ ...feeds, [wrt]: tensor(moved, x.dims) });
		const value = loss ? sum(results.loss) : of.reduce((total, name) => total + dot(feeds[cotangentName(name)], results[name]), 0);
		return { value, gradient: results[loss ? "gradient" : gradientName(wrt)] };
	};
	const { gradient } = await at(x.data);
	const draw = random("gradient check", seed, "direction", wrt, n);
	const v = x.data.map((_, i) => (n === 0 ? Math.sign(Number(gradient.data[i])) : draw.uniform() < 0.5 ? -1 : 1));
	const direction = tensor(v, x.dims);
	const line = async (t: number) => {
		const { value, gradient } = await at(x.data.map((element, i) => element + t * v[i]));
		const slope = dot(gradient, direction);
		if (Number.isFinite(value) && Number.isFinite(slope)) return { value, slope };
		const found = `value ${value}, slope ${slope}`;
		const fix = "choose inputs that the model is made for (--range)";
		throw new KintsugiError("autodiff", { where: `the check at random '${wrt}'`, expected: "finite numbers", found, fix });
	};
	// Of a random direction, the derivative is about as large as the gradient is long.
	const floor = 0.1 * Math.sqrt(dot(gradient, gradient));
	const check = await checkLine(line, { scale: scaleOf(range), floor, onProgress: progress });
	return { wrt, direction: n === 0 ? "sign of the gradient" : "random signs", ...check };
}

const sum = ({ data }: Tensor<DType>): number => (data as Float32Array).reduce((total, value) => total + value, 0);

function dot(a: Tensor<DType>, b: Tensor<DType>): number {
	const [one, other] = [a.data as Float32Array, b.data as Float32Array];
	return one.reduce((total, value, i) => total + value * other[i], 0);
}

function checkMovable({ inputs }: Graph, name: string): void {
	const input = inputs.find((v) => v.name === name);
	if (input?.type === "float") return;
	throw new KintsugiError("value", {
		where: `checking the gradient of '${name}'`,
		expected: "a float32 input, which can be moved",
		found: input ? `an input of type ${input.type}` : "an inner value",
		fix: "check the gradient of an input, or leave the check out",
	});
}

/** Outputs of the model itself. */
async function runModel(model: Graph, of: readonly string[], feeds: Tensors, session: Pick<SessionOptions, "threads">): Promise<Tensors> {
	const outputs = of.map((name) => ({ name, type: "float" as const, dims: [] }));
	const inputs = model.inputs.filter((v) => v.name in feeds);
	const opened = await openPrepared(prune({ ...model, inputs, outputs }), session, { untypedOutputs: true });
	try {
		return await opened.run(feeds);
	} finally {
		await opened.close();
	}
}

function difference(a: Tensor<DType>, b: Tensor<DType>): number {
	const [one, other] = [a.data as Float32Array, b.data as Float32Array];
	let [gap, size] = [0, 0];
	for (let i = 0; i < other.length; i++) {
		gap = Math.max(gap, Math.abs(one[i] - other[i]));
		size = Math.max(size, Math.abs(other[i]));
	}
	return size === 0 ? gap : gap / size;
}
