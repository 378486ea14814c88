/** @file Opens graphs in ONNX Runtime and runs them. */
import { realpathSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parse, relative, sep } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { KintsugiError } from "../errors.ts";
import { dtypeOf, elementTypeOf } from "../onnx/elements.ts";
import { type Dims, type Graph, type TensorBytes, UNKNOWN_DIM } from "../onnx/graph.ts";
import { readModel } from "../onnx/read.ts";
import { type WriteOptions, writeModel } from "../onnx/write.ts";
import { type DataArrays, type DType, type Tensor, tensor } from "../tensor/tensor.ts";
import { executionProviders } from "./device.ts";
import { readBytes, readModelFile } from "./model-file.ts";

export interface SessionOptions {
	/** Threads of one operator. Default: 2, or fewer if the machine has fewer. */
	threads?: number;
	/** See `DEVICES`. */
	device?: string;
	/** ONNX Runtime's graph optimisations. */
	optimize?: "disabled" | "basic" | "extended" | "all";
	/** Where to save the optimised graph (for the shape passes). */
	saveOptimized?: string;
	/** Prefix of a file to which ONNX Runtime writes the time of every operator when the session is closed (a Chrome trace). */
	profile?: string;
}

export interface SessionValue {
	name: string;
	dtype: DType;
	dims: Dims;
}

export interface SessionOutput extends Omit<SessionValue, "dtype"> {
	/** Undefined for what is no tensor, or one of another element type: it cannot be fetched. */
	dtype: DType | undefined;
}

export type Tensors = Record<string, Tensor<DType>>;

export interface Session {
	readonly inputs: readonly SessionValue[];
	readonly outputs: readonly SessionOutput[];
	/**
	 * Runs the graph; `fetch` names the outputs wanted (default all). Equal feeds give equal bytes.
	 * Throws `shape` for feeds that do not fit, `onnx` for outputs that cannot be fetched.
	 */
	run(feeds: Tensors, options?: { fetch?: readonly string[] }): Promise<Tensors>;
	close(): Promise<void>;
}

/** In-memory constants of at least this many bytes are handed over as buffers instead of being serialised. */
const HAND_OVER = 1 << 20;

/**
 * Opens a graph, a model file or the bytes of one.
 *
 * How weights reach ONNX Runtime 1.30 without passing through JavaScript: the graph goes in as bytes, `model_external_initializers_file_folder_path`
 * is the root of the file system, and every location is the real path relative to that root. Found by trial: absolute locations, "..", and links
 * that leave the folder are refused by ORT ("escapes model directory"); a temporary file beside the weights fails where their folder is read-only;
 * buffers in `externalData` work but copy. Byte ranges may start anywhere (unaligned offsets are read correctly). The check that keeps a
 * downloaded model inside its own folder is ours (`readModel`), made before the graph gets here.
 */
export async function openSession(model: Graph | string | Uint8Array, options: SessionOptions = {}): Promise<Session> {
	const graph = typeof model === "string" ? readModelFile(model) : model instanceof Uint8Array ? readModel(model) : model;
	return openPrepared(graph, options, {});
}

/** As `openSession`, with control over how the graph is written. */
export async function openPrepared(graph: Graph, options: SessionOptions, write: WriteOptions): Promise<Session> {
	const session = await createSession(graph, options, write);
	try {
		return wrap(session, graph.name, options.profile !== undefined);
	} catch (error) {
		await session.release();
		throw error;
	}
}

/** The session of ONNX Runtime itself, for what it knows of values that cannot be fetched. */
export async function createSession(graph: Graph, options: SessionOptions, write: WriteOptions): Promise<InferenceSession> {
	const { threads = Math.min(2, availableParallelism()), device = "cpu", optimize = "all", saveOptimized, profile } = options;
	const { root, externalData, place } = weightPlaces();
	const bytes = writeModel(graph, { place, ...write });
	try {
		return await InferenceSession.create(bytes, {
			executionProviders: executionProviders(device),
			graphOptimizationLevel: optimize,
			executionMode: "sequential",
			intraOpNumThreads: threads,
			interOpNumThreads: 1,
			// Planned memory is a second block beside what the first run took: 16 GB instead of 11 for the gradient of Stable Diffusion 2's UNet.
			enableMemPattern: false,
			// 4 = fatal: what fails is thrown, and what is only a warning is about ORT's own folding.
			logSeverityLevel: 4,
			externalData,
			...(saveOptimized === undefined ? {} : { optimizedModelFilePath: saveOptimized }),
			...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
			extra: {
				session: {
					model_external_initializers_file_folder_path: root(),
					// Threads that spin for long while they wait steal the cores of whatever else runs; without any, waking them costs small graphs a third.
					intra_op: { allow_spinning: "1", spin_duration_us: "20" },
				},
			},
		});
	} catch (error) {
		throw refused(`opening the graph '${graph.name}'`, error);
	}
}

function weightPlaces() {
	const externalData: { path: string; data: Uint8Array }[] = [];
	const real = new Map<string, string>();
	let root = parse(process.cwd()).root;
	const place: NonNullable<WriteOptions["place"]> = (bytes: TensorBytes) => {
		if ("data" in bytes && bytes.data.length < HAND_OVER) return bytes.data;
		const onDisk = "data" in bytes ? undefined : realFile(bytes.file);
		// Windows: one folder option, but perhaps several drives; the second drive's weights go through memory.
		if (!("data" in bytes) && onDisk !== undefined && parse(onDisk).root === root) {
			return { location: relative(root, onDisk).replaceAll(sep, "/"), offset: bytes.offset, length: bytes.length };
		}
		const data = readBytes(bytes);
		const path = `memory/${externalData.length}`;
		externalData.push({ path, data });
		return { location: path, offset: 0, length: data.length };
	};
	const realFile = (file: string): string => {
		const known = real.get(file);
		if (known) return known;
		try {
			const found = realpathSync(file);
			if (real.size === 0) root = parse(found).root;
			real.set(file, found);
			return found;
		} catch (cause) {
			throw new KintsugiError(
				"model",
				{ where: file, expected: "weights", found: "no such file", fix: "check that the model is complete" },
				{ cause },
			);
		}
	};
	return { place, externalData, root: () => root };
}

function refused(where: string, error: unknown): KintsugiError {
	const message = (error instanceof Error ? error.message : `${error}`).replaceAll(/\s+/g, " ").trim();
	return new KintsugiError(
		"onnx",
		{ where, expected: "ONNX Runtime to accept it", found: message, fix: "check the model with onnx.checker and the inputs' shapes" },
		{ cause: error },
	);
}

function wrap(session: InferenceSession, name: string, profiled: boolean): Session {
	const inputs = session.inputMetadata.map((m) => sessionInput(m, name));
	const outputs = session.outputMetadata.map(sessionOutput);
	let open = true;
	return {
		inputs,
		outputs,
		async run(feeds, { fetch } = {}) {
			const feedOf = (input: string) => (Object.hasOwn(feeds, input) ? feeds[input] : undefined);
			const ortFeeds = Object.fromEntries(inputs.map((input) => [input.name, toOrt(input, feedOf(input.name), name)]));
			const odd = outputs.find((v) => v.dtype === undefined && (fetch ?? [v.name]).includes(v.name));
			if (odd) throw unsupported(`output '${odd.name}' of the graph '${name}'`, "fetch the other outputs only");
			let results: InferenceSession.OnnxValueMapType;
			try {
				results = await (fetch ? session.run(ortFeeds, [...fetch]) : session.run(ortFeeds));
			} catch (error) {
				throw refused(`running the graph '${name}'`, error);
			}
			return Object.fromEntries(Object.entries(results).map(([output, value]) => [output, fromOrt(value as OrtTensor)]));
		},
		async close() {
			if (!open) return;
			open = false;
			if (profiled) session.endProfiling();
			await session.release();
		},
	};
}

const unsupported = (where: string, fix: string) =>
	new KintsugiError("onnx", { where, expected: "a tensor of floats, integers or bools", found: "another type", fix });

function sessionOutput(m: InferenceSession.ValueMetadata): SessionOutput {
	if (!m.isTensor) return { name: m.name, dtype: undefined, dims: [] };
	const type = elementTypeOf(m.type);
	return { name: m.name, dtype: type && dtypeOf(type), dims: dimsOf(m) };
}

/** Dims as ONNX Runtime knows them, `UNKNOWN_DIM` where it does not. */
export const dimsOf = (m: InferenceSession.ValueMetadata): Dims => (m.isTensor ? m.shape.map((d) => (d === "" ? UNKNOWN_DIM : d)) : []);

function sessionInput(m: InferenceSession.ValueMetadata, graph: string): SessionValue {
	const { dtype, ...value } = sessionOutput(m);
	if (dtype === undefined) throw unsupported(`input '${m.name}' of the graph '${graph}'`, "export the model with another input type");
	return { ...value, dtype };
}

function toOrt(input: SessionValue, t: Tensor<DType> | undefined, name: string): OrtTensor {
	const fits =
		t !== undefined &&
		t.dtype === input.dtype &&
		t.dims.length === input.dims.length &&
		input.dims.every((d, i) => typeof d === "string" || d === t.dims[i]);
	if (!fits) {
		throw new KintsugiError("shape", {
			where: `input '${input.name}' of the graph '${name}'`,
			expected: `${input.dtype} [${input.dims.join(", ")}]`,
			found: t ? `${t.dtype} [${t.dims.join(", ")}]` : "nothing",
			fix: "feed a tensor of that type and shape",
		});
	}
	if (t.dtype !== "float16") return new OrtTensor(t.dtype, t.data as Float32Array, [...t.dims]) as OrtTensor;
	// Where Float16Array exists (Node 24), OrtTensor makes one of the bits, and ORT 1.30's native side cannot read it.
	return Object.defineProperty(new OrtTensor("uint16", t.data as Uint16Array, [...t.dims]) as OrtTensor, "type", { value: "float16" });
}

function fromOrt(value: OrtTensor): Tensor<DType> {
	const { data } = value;
	const dtype = value.type as DType;
	// Node 24 has a Float16Array; tensors here hold the raw bits on every version.
	const bits = dtype === "float16" && !(data instanceof Uint16Array) && ArrayBuffer.isView(data);
	const array = bits ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) : data;
	return tensor(array as DataArrays[DType], value.dims, dtype);
}
