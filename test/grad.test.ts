import {
	copyFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { afterAll, describe, expect, it } from "vitest";
import { gradientName, lossGradientGraph, vjp } from "../src/autodiff/index.ts";
import { floatTensor, freeze, type Graph, graphBuilder, int64Tensor, type Node, writeModel } from "../src/onnx/index.ts";
import { checkGradient, openSession, readModelFile, shapeRuntime, type Tensors, writeModelFile } from "../src/runtime/index.ts";
import { random } from "../src/tensor/random.ts";
import { sizeOf, tensor } from "../src/tensor/tensor.ts";
import { inProcess, kintsugi, ROOT, TINY_CNN } from "./support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "kintsugi-grad-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]) => join(folder, ...parts);

const GOLDEN = join(ROOT, "test/golden/autodiff");

/** A copy of a model in a folder of its own. */
function copy(source: string): string {
	const own = mkdtempSync(at("model-"));
	const path = join(own, basename(source));
	copyFileSync(source, path);
	return path;
}

async function grad(...args: string[]) {
	const { code, stdout, stderr } = await inProcess("grad", ...args, "--json");
	return { code, stderr, result: JSON.parse(stdout) };
}

async function run(model: Graph | string, seed = 1): Promise<Tensors> {
	const session = await openSession(model);
	const draw = random("feeds", seed);
	const feeds = session.inputs.map(({ name, dims }) => [name, tensor(draw.uniforms(sizeOf(dims.map(Number))), dims.map(Number))]);
	const results = await session.run(Object.fromEntries(feeds));
	await session.close();
	return results;
}

describe("the file", () => {
	it("is what vjp makes in memory, points at the model's own bytes, and opens in a plain ONNX Runtime", async () => {
		const model = copy(TINY_CNN);
		const { code, result } = await grad(model, "--dims", "batch=2");
		expect([code, result.file]).toEqual([0, model.replace(".onnx", ".grad.onnx")]);
		expect(result.weights).toEqual([{ file: model, bytes: expect.any(Number) }]);
		expect(statSync(result.file).size).toBe(result.bytes);
		expect(result.bytes + result.weights[0].bytes).toBeGreaterThan(statSync(model).size);
		expect(result.bytes).toBeLessThan(statSync(model).size / 5);

		const frozen = await freeze(readModelFile(model), { dims: { batch: 2 } }, shapeRuntime);
		expect(await run(result.file)).toEqual(await run(vjp(frozen, { of: ["logits"], wrt: ["x"] })));
		const plain = await InferenceSession.create(result.file);
		expect(plain.inputNames).toEqual(["x", "cotangent/logits"]);
		expect(plain.outputNames).toEqual(["logits", "grad/x"]);
		await plain.release();
	});

	it.each(["cross-entropy", "set-cross-entropy", "bce", "margin"] as const)("has loss, logits and gradient of %s", async (loss) => {
		const model = copy(TINY_CNN);
		const out = join(model, "..", `${loss}.onnx`);
		const { code, result } = await grad(model, "--of", "logits", "--wrt", "x", "--loss", loss, "--shape", "x=3x3x16x16", "-o", out);
		expect([code, result.file, result.loss]).toEqual([0, out, loss]);
		const frozen = await freeze(readModelFile(model), { dims: { batch: 3 } }, shapeRuntime);
		expect(await run(out)).toEqual(await run(lossGradientGraph(frozen, { logits: "logits", input: "x", loss })));
	});

	it.each(["clip_vision", "resnet", "unet"])("of %s agrees with torch.autograd", async (name) => {
		const golden = JSON.parse(readFileSync(join(GOLDEN, `${name}.json`), "utf8")) as Record<string, { dims: number[]; float32: string }>;
		const tensors = Object.fromEntries(
			Object.entries(golden).map(([key, { dims, float32 }]) => {
				return [key, tensor(new Float32Array(Uint8Array.from(Buffer.from(float32, "base64")).buffer), dims)];
			}),
		);
		const { result } = await grad(copy(join(GOLDEN, `${name}.torchscript.onnx`)), "--wrt", "x", "--shape", `x=${tensors.x.dims.join("x")}`);
		const session = await openSession(result.file);
		const feeds = Object.fromEntries(session.inputs.map((v) => [v.name, tensors[v.name]]));
		const gradient = (await session.run(feeds))[gradientName("x")].data as Float32Array;
		await session.close();
		const size = tensors.gradient.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
		expect(gradient.reduce((most, value, i) => Math.max(most, Math.abs(value - tensors.gradient.data[i])), 0) / size).toBeLessThan(1e-4);
	});

	it("points at external data as well, from the folder above as well", async () => {
		mkdirSync(at("external"));
		const bytes = new Uint8Array(random("w").normals(4 * 600).buffer);
		writeFileSync(at("external", "weights.bin"), bytes);
		const b = graphBuilder();
		const x = b.input("pixels", "float", ["n", 4]);
		const w = b.constant({ type: "float", dims: [4, 600], bytes: { file: at("external", "weights.bin"), offset: 0, length: 9600 } });
		b.output(b.op("Tanh", [b.op("MatMul", [x, w])], {}, { name: "y" }), "float", ["n", 600]);
		writeModelFile(b.build(), at("external", "model.onnx"));
		for (const out of [at("external", "near.onnx"), at("above.onnx")]) {
			const { code, result } = await grad(at("external", "model.onnx"), "-o", out, "--check");
			expect([code, result.check.verdict]).toEqual([0, "agrees"]);
			expect(result.weights).toEqual([{ file: at("external", "weights.bin"), bytes: 9600 }]);
			expect(result.bytes).toBeLessThan(2000);
			await (await InferenceSession.create(out)).release();
		}
	});

	it("goes nowhere else, unless the weights are copied in", async () => {
		const model = copy(TINY_CNN);
		const { file: near } = (await grad(model)).result;
		mkdirSync(at("elsewhere"), { recursive: true });
		const away = at("elsewhere", "away.onnx");
		expect((await inProcess("grad", model, "-o", away)).stderr).toContain("--inline");
		expect(existsSync(away)).toBe(false);
		const { result } = await grad(model, "-o", away, "--inline");
		expect(result.weights).toEqual([]);
		expect(await run(away)).toEqual(await run(near));
	});

	it("does not follow a link out of its folder, where ONNX Runtime would not", async () => {
		const model = copy(TINY_CNN);
		mkdirSync(at("snapshot"));
		symlinkSync(model, at("snapshot", "model.onnx"));
		expect((await inProcess("grad", at("snapshot", "model.onnx"))).stderr).toContain(`weights in ${model}`);
	});

	// A hole of 3 GB: where files cannot have holes, it would be 3 GB.
	it.skipIf(process.platform === "win32")("points at more than 2 GiB, and says that they do not fit inside", async () => {
		mkdirSync(at("large"));
		const file = at("large", "weights.bin");
		const dims = [4, 187_500_000];
		writeFileSync(file, "");
		truncateSync(file, 3e9);
		const b = graphBuilder();
		const w = b.constant({ type: "float", dims, bytes: { file, offset: 0, length: 3e9 } });
		b.output(b.op("MatMul", [b.input("x", "float", [1, 4]), w], {}, { name: "y" }), "float", [1, dims[1]]);
		writeModelFile(b.build(), at("large", "model.onnx"));
		const { result } = await grad(at("large", "model.onnx"));
		expect(result).toMatchObject({ weights: [{ file, bytes: 3e9 }], nodes: { forward: 1 } });
		expect(result.bytes).toBeLessThan(2000);
		const { code, stderr } = await inProcess("grad", at("large", "model.onnx"), "--inline");
		expect([code, stderr]).toEqual([2, expect.stringContaining("2.79 GiB")]);
	});

	it("never takes the place of the model", async () => {
		const model = copy(TINY_CNN);
		symlinkSync(model, join(model, "..", "same.onnx"));
		for (const out of [model, join(model, "..", "same.onnx")]) {
			const { code, stderr } = await inProcess("grad", model, "-o", out);
			expect([code, stderr]).toEqual([2, expect.stringContaining("the model's own")]);
		}
		expect(readFileSync(model)).toEqual(readFileSync(TINY_CNN));
	});
});

describe("what is printed", () => {
	it("names size, nodes, inputs, outputs, and what was assumed", async () => {
		const model = copy(TINY_CNN);
		const { code, stdout, stderr } = await kintsugi("grad", model, "--check");
		expect([code, stderr]).toEqual([0, ""]);
		for (const part of [
			"kB, the gradient of tiny-cnn.onnx",
			"12 forward",
			"x [1, 3, 16, 16] float",
			"grad/x [1, 3, 16, 16]",
			"batch is 1",
		]) {
			expect(stdout).toContain(part);
		}
		expect(stdout).toMatch(/sign of the gradient +7\.8e-3 .* agrees\n/);
		expect(stdout).toContain("The gradient agrees with the differences.");
	});

	it("says with what other inputs were filled", async () => {
		const b = graphBuilder();
		const x = b.input("embeddings", "float", ["batch", 3]);
		const masked = b.op("Where", [b.op("Cast", [b.input("attention_mask", "int64", ["batch", 3])], { to: 9 }), x, b.scalar(0)]);
		const table = b.constant(floatTensor([1, 2, 3, 4, 5, 6], [2, 3]));
		const rows = b.op("Gather", [table, b.input("token_ids", "int64", ["batch"])]);
		b.output(b.op("Mul", [b.op("Exp", [masked]), rows], {}, { name: "y" }), "float", ["batch", 3]);
		writeFileSync(at("filled.onnx"), writeModel(b.build()));
		const { code, stdout } = await inProcess("grad", at("filled.onnx"), "--check", "--dims", "batch=2", "--range=-1,1");
		expect(code).toBe(0);
		expect(stdout).toContain("attention_mask was filled with ones.\ntoken_ids was filled with zeros.");
	});
});

describe("--check", () => {
	const smooth = ["clip_vision", "vit_gelu", "blocks", "unet"];
	it.each([...smooth, "resnet", "yolos", "autoencoder_tiny"])("agrees for %s, kinks or not", async (name) => {
		const model = copy(join(GOLDEN, `${name}.torchscript.onnx`));
		const of = readModelFile(model).outputs.flatMap((v) => ["--of", v.name]);
		const { code, result } = await grad(model, ...of, "--wrt", "x", "--check");
		expect([code, result.check.verdict]).toEqual([0, "agrees"]);
		expect(result.check.outputs).toBeLessThan(1e-5);
		for (const { error } of result.check.directions) expect(error).toBeLessThan(smooth.includes(name) ? 1e-3 : 0.2);
	});

	it("of a loss", async () => {
		for (const loss of ["cross-entropy", "margin"]) {
			const { code, result } = await grad(copy(TINY_CNN), "--loss", loss, "--check", "--seed", "7", "--directions", "2");
			expect([code, result.check.verdict, result.check.directions.length]).toEqual([0, "agrees", 2]);
		}
	});

	/** The graph of a fixture, with its gradient nodes passed through `change`. */
	async function tampered(file: string, change: (node: Node) => Node): Promise<Graph> {
		const frozen = await freeze(readModelFile(file), { dims: {} }, shapeRuntime);
		const graph = vjp(frozen, { of: [frozen.outputs[0].name], wrt: ["x"] });
		const wrong = { ...graph, nodes: graph.nodes.map((node) => (node.name.startsWith("grad/") ? change(node) : node)) };
		expect(wrong.nodes).not.toEqual(graph.nodes);
		return { ...wrong, initializers: new Map([...graph.initializers, ["wrong", floatTensor([1.02], [])]]) };
	}

	const tooSteep = (node: Node): Node => (node.name === "grad/x" ? { ...node, op: "Mul", inputs: [...node.inputs, "wrong"] } : node);
	const pathLost = (node: Node): Node => {
		const adds = (node.op === "Sum" || node.op === "Add") && node.inputs.every((name) => name.startsWith("grad/"));
		return adds ? { ...node, op: "Identity", inputs: [node.inputs[0]] } : node;
	};

	it.each([
		["vit_gelu", "2 % too steep", tooSteep],
		["resnet", "2 % too steep", tooSteep],
		["vit_gelu", "lost on one of two paths", pathLost],
		["resnet", "lost on one of two paths", pathLost],
	])("finds a gradient of %s that is %s", async (name, _, change) => {
		const file = join(GOLDEN, `${name}.torchscript.onnx`);
		const graph = await tampered(file, change);
		const of = [graph.outputs[0].name];
		expect((await checkGradient(graph, { of, wrt: ["x"] })).verdict).toBe("disagrees");
	});

	it("ends with 1 where the gradient is not the derivative: outputs that jump", async () => {
		const b = graphBuilder();
		const x = b.input("x", "float", [1, 64]);
		const steps = b.op("Floor", [b.op("Mul", [x, b.scalar(100)])]);
		b.output(b.op("Add", [b.op("Mul", [steps, b.scalar(0.01)]), x], {}, { name: "y" }), "float", [1, 64]);
		writeFileSync(at("steps.onnx"), writeModel(b.build()));
		const { code, stdout } = await inProcess("grad", at("steps.onnx"), "--check");
		expect(code).toBe(1);
		expect(stdout).toContain("DISAGREES");
	});

	it("names inputs at which the model is not finite", async () => {
		const b = graphBuilder();
		b.output(b.op("Log", [b.input("x", "float", [4])], {}, { name: "y" }), "float", [4]);
		writeFileSync(at("log.onnx"), writeModel(b.build()));
		const { code, stderr } = await inProcess("grad", at("log.onnx"), "--check", "--range=-2,-1");
		expect([code, stderr]).toEqual([1, expect.stringContaining("--range")]);
		expect((await grad(at("log.onnx"), "--check", "--range", "1,2")).result.check.verdict).toBe("agrees");
	});
});

describe("refusals are one line", () => {
	async function expectComplaint(expectedCode: number, args: string[], ...parts: string[]): Promise<void> {
		const { code, stdout, stderr } = await inProcess("grad", ...args);
		expect(stdout).toBe("");
		expect(stderr.trim().split("\n")).toHaveLength(1);
		for (const part of parts) expect(stderr).toContain(part);
		expect(stderr).not.toContain("unexpected");
		expect(code).toBe(expectedCode);
	}

	it("wrong use ends with 2", async () => {
		const model = copy(TINY_CNN);
		await expectComplaint(2, [model, "--of", "logit"], "'logit'", "logits [batch, 10]");
		await expectComplaint(2, [model, "--dims", "width=3"], "batch", "width");
		await expectComplaint(2, [model, "--dims", "batch"], "NAME=NUMBER");
		await expectComplaint(2, [model, "--shape", "x=3,3"], "pixel_values=1x3x224x224");
		await expectComplaint(2, [model, "--range", "1,0"], "LOW,HIGH");
		await expectComplaint(2, [model, "--loss", "mse"], "cross-entropy");
		await expectComplaint(2, [model, "-o", at("no", "where.onnx")], "no folder");
		await expectComplaint(2, [copy(join(GOLDEN, "yolos.torchscript.onnx"))], "float logits", "float pred_boxes");
	});

	it("files that are no model, or not whole, end with 1", async () => {
		writeFileSync(at("text.onnx"), "no network");
		const cut = copy(TINY_CNN);
		truncateSync(cut, 30_000);
		await expectComplaint(1, [at("none.onnx")], "none.onnx", "no such file");
		await expectComplaint(1, [at("text.onnx")], "text.onnx", "ONNX model");
		await expectComplaint(1, [cut], "tiny-cnn.onnx", "download is complete");
		const b = graphBuilder();
		const w = b.constant(floatTensor(new Float32Array(2000), [2000]), "w");
		b.output(b.op("Mul", [b.input("x", "float", [2000]), w]), "float", [2000]);
		const lost = { location: "lost.bin", offset: 0, length: 8000 };
		writeFileSync(
			at("lost.onnx"),
			writeModel(b.build(), { place: (bytes) => ("data" in bytes && bytes.data.length === 8000 ? lost : new Uint8Array()) }),
		);
		await expectComplaint(1, [at("lost.onnx")], "lost.bin");
	});

	it("control flow and quantised operators end with 1 and the reason", async () => {
		const inner = graphBuilder();
		inner.output(inner.op("Neg", ["x"], {}, { name: "then" }), "float", [4]);
		const branch = { graph: inner.build() };
		const b = graphBuilder();
		const x = b.input("x", "float", [4]);
		const positive = b.op("Greater", [b.op("ReduceSum", [x], { keepdims: 0 }), b.scalar(0)]);
		b.output(b.op("If", [positive], { then_branch: branch, else_branch: branch }, { name: "y" }), "float", [4]);
		writeFileSync(at("if.onnx"), writeModel(b.build()));
		await expectComplaint(1, [at("if.onnx")], "If node", "control flow");

		const q = graphBuilder();
		const bytes = { type: "uint8" as const, dims: [], bytes: { data: Uint8Array.of(3) } };
		const [scale, zero] = [q.scalar(0.1), q.constant(bytes)];
		const rounded = q.op("QuantizeLinear", [q.input("x", "float", [4]), scale, zero]);
		q.output(q.op("DequantizeLinear", [rounded, scale, zero], {}, { name: "y" }), "float", [4]);
		writeFileSync(at("quantised.onnx"), writeModel(q.build()));
		await expectComplaint(1, [at("quantised.onnx")], "QuantizeLinear node", "float32 export");
	});

	it("checks only what can be moved", async () => {
		const b = graphBuilder();
		const ids = b.input("ids", "int64", [2]);
		const rows = b.op(
			"Gather",
			[b.constant(floatTensor([1, 2, 3, 4], [2, 2])), b.op("Mul", [ids, b.constant(int64Tensor([0, 0]))])],
			{},
			{ name: "rows" },
		);
		b.output(b.op("Exp", [rows], {}, { name: "y" }), "float", [2, 2]);
		writeFileSync(at("inner.onnx"), writeModel(b.build()));
		await expectComplaint(2, [at("inner.onnx"), "--wrt", "rows", "--check"], "inner value");
	});
});
