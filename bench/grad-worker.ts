/**
 * @file The ONNX Runtime side of bench/grad.ts: opens the gradient graph of the model that grad-torch.py exported, and answers the lines
 * "step", "gradient FILE", "matmul", "peak" and "profile" with one line of JSON each. Usage: npx tsx bench/grad-worker.ts CASE FOLDER THREADS
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { cotangentName, gradientName, lossGradientGraph, vjp } from "../src/autodiff/index.ts";
import { parseUNet2DCondition, unet2DCondition } from "../src/models/diffusers/unet-2d-condition.ts";
import { openWeights } from "../src/models/diffusers/weights.ts";
import { floatTensor, freeze, type Graph, graphBuilder } from "../src/onnx/index.ts";
import { openSession, readModelFile, type Session, shapeRuntime, type Tensors } from "../src/runtime/index.ts";
import { random } from "../src/tensor/random.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { countFlops } from "./flops.ts";

const [name, folder, threads] = process.argv.slice(2);

interface Prepared {
	graph: Graph;
	feeds: Tensors;
	gradient: string;
}

const read = (file: string, dims: readonly number[]) => {
	const bytes = new Uint8Array(readFileSync(join(folder, file)));
	return tensor(new Float32Array(bytes.buffer), dims);
};

async function unet(): Promise<Prepared> {
	const config = parseUNet2DCondition(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")), folder);
	const weights = await openWeights(folder, "diffusion_pytorch_model");
	const forward = await freeze(unet2DCondition(config, weights, { batch: 1, height: 64, width: 64, tokens: 77 }), {}, shapeRuntime);
	const of = forward.outputs[0].name;
	const feeds = {
		sample: read("x.bin", [1, 4, 64, 64]),
		timestep: tensor(Float32Array.of(500), [1]),
		encoder_hidden_states: read("states.bin", [1, 77, 1024]),
		[cotangentName(of)]: read("cotangent.bin", [1, 4, 64, 64]),
	};
	return { graph: vjp(forward, { of: [of], wrt: ["sample"] }), feeds, gradient: gradientName("sample") };
}

async function classifier(): Promise<Prepared> {
	const forward = await freeze(readModelFile(join(folder, "model.onnx")), {}, shapeRuntime);
	const labels = Number(forward.outputs[0].dims[1]);
	const targets = new Float32Array(8 * labels);
	for (let i = 0; i < 8; i++) targets[i * labels + i] = 1;
	const graph = lossGradientGraph(forward, { input: "x", logits: "logits", loss: "cross-entropy" });
	return { graph, feeds: { x: read("x.bin", [8, 3, 224, 224]), targets: tensor(targets, [8, labels]) }, gradient: "gradient" };
}

/** GFLOP/s of one square product. */
async function matmul(n = 2048): Promise<number> {
	const b = graphBuilder();
	const draw = random("matmul");
	const y = b.op("MatMul", [b.input("a", "float", [n, n]), b.constant(floatTensor(draw.normals(n * n), [n, n]))]);
	b.output(y, "float", [n, n]);
	const session = await openSession(b.build(), { threads: Number(threads) });
	const a = tensor(draw.normals(n * n), [n, n]);
	let best = Number.POSITIVE_INFINITY;
	for (let i = 0; i < 12; i++) best = Math.min(best, await timed(() => session.run({ a })));
	await session.close();
	return (2 * n ** 3) / best / 1e9;
}

async function timed(f: () => Promise<unknown>): Promise<number> {
	const start = performance.now();
	await f();
	return (performance.now() - start) / 1000;
}

interface TraceEvent {
	cat: string;
	name: string;
	ts: number;
	dur: number;
	args?: { op_name?: string };
}

/** Milliseconds of each operator in a run, the mean of three runs after two. */
async function profile({ graph, feeds }: Prepared): Promise<Record<string, number>> {
	const trace = mkdtempSync(join(tmpdir(), "kintsugi-profile-"));
	try {
		const session = await openSession(graph, { threads: Number(threads), profile: join(trace, "run") });
		for (let i = 0; i < 5; i++) await session.run(feeds);
		await session.close();
		const [file] = readdirSync(trace);
		const events = JSON.parse(readFileSync(join(trace, file), "utf8")) as TraceEvent[];
		const runs = events.filter((e) => e.name === "model_run").sort((a, b) => a.ts - b.ts);
		const total: Record<string, number> = {};
		for (const { cat, name: event, ts, dur, args } of events) {
			if (cat !== "Node" || !event.endsWith("_kernel_time") || ts < runs[2].ts || !args?.op_name) continue;
			total[args.op_name] = (total[args.op_name] ?? 0) + dur / 3000;
		}
		return total;
	} finally {
		rmSync(trace, { recursive: true, force: true });
	}
}

const answer = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);

const prepared = name === "unet" ? await unet() : await classifier();
const session: Session = await openSession(prepared.graph, { threads: Number(threads) });
const { flops } = await countFlops(prepared.graph, shapeRuntime);
answer({ ready: true, version: process.version, flops, nodes: prepared.graph.nodes.length });
for await (const line of createInterface({ input: process.stdin })) {
	const [command, file] = line.split(" ");
	if (command === "step") answer({ seconds: await timed(() => session.run(prepared.feeds)) });
	else if (command === "gradient") {
		const { data } = (await session.run(prepared.feeds))[prepared.gradient];
		writeFileSync(file, new Uint8Array((data as Float32Array).buffer));
		answer({});
	} else if (command === "matmul") answer({ gflops: await matmul() });
	else if (command === "profile") {
		await session.close();
		answer({ milliseconds: await profile(prepared) });
	} else answer({ megabytes: process.resourceUsage().maxRSS / 1024 });
}
