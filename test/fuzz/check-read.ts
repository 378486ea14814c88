/** @file What must hold for any bytes: both doors refuse them alike, or both read one graph that survives being written. */
import { execFileSync } from "node:child_process";
import { mkdirSync, realpathSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { KintsugiError } from "../../src/errors.ts";
import { locationIn } from "../../src/onnx/external.ts";
import { type Attribute, type ConstantTensor, type Graph, readModel, type TensorBytes, upgrade, writeModel } from "../../src/onnx/index.ts";
import { sortNodes } from "../../src/onnx/topology.ts";
import { readBytes, readModelFile } from "../../src/runtime/model-file.ts";

export type Outcome = { accepted: Graph } | { refused: KintsugiError } | { fault: string };

/** A folder in which the damaged models find weights, and links and pipes that they must not follow. */
export function modelFolder(root: string): string {
	const folder = join(root, "model");
	mkdirSync(join(folder, "sub"), { recursive: true });
	writeFileSync(join(root, "secret.bin"), new Uint8Array(1000));
	writeFileSync(
		join(folder, "weights.bin"),
		Uint8Array.from({ length: 1000 }, (_, i) => i % 64),
	);
	writeFileSync(join(folder, "sub", "weights.bin"), new Uint8Array(1000));
	symlinkSync("../secret.bin", join(folder, "link-out"));
	symlinkSync("sub/weights.bin", join(folder, "link-in"));
	symlinkSync("link-loop", join(folder, "link-loop"));
	symlinkSync("/etc", join(folder, "link-folder"));
	if (process.platform !== "win32") execFileSync("mkfifo", [join(folder, "fifo")]);
	return folder;
}

export const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : `${error}`);

function attempt(read: () => Graph): Outcome {
	try {
		return { accepted: read() };
	} catch (error) {
		return error instanceof KintsugiError ? { refused: error } : { fault: stackOf(error) };
	}
}

function mapTensors(graph: Graph, change: (bytes: TensorBytes) => TensorBytes): Graph {
	const tensor = (t: ConstantTensor): ConstantTensor => ({ ...t, bytes: change(t.bytes) });
	const attribute = (a: Attribute): Attribute =>
		"tensor" in a ? { tensor: tensor(a.tensor) } : "graph" in a ? { graph: mapTensors(a.graph, change) } : a;
	return {
		...graph,
		initializers: new Map([...graph.initializers].map(([name, t]) => [name, tensor(t)])),
		nodes: graph.nodes.map((n) => ({
			...n,
			attributes: Object.fromEntries(Object.entries(n.attributes).map(([key, a]) => [key, attribute(a)])),
		})),
	};
}

const inMemory = (graph: Graph) => mapTensors(graph, (bytes) => ({ data: Uint8Array.from(readBytes(bytes)) }));

/** Why the doors do not agree; only external data may be refused in memory alone. */
function disagreement(memory: Outcome, disk: Outcome): string | undefined {
	if ("accepted" in memory && "accepted" in disk) {
		return isDeepStrictEqual(inMemory(memory.accepted), inMemory(disk.accepted)) ? undefined : "the doors read different graphs";
	}
	if ("refused" in memory && "accepted" in disk && memory.refused.parts.expected !== "weights inside the model") {
		return `refused in memory only: ${memory.refused.message}`;
	}
	if ("accepted" in memory && "refused" in disk) return `refused on disk only: ${disk.refused.message}`;
	return undefined;
}

/** Why a range of an accepted graph should have been refused. */
function escaped(graph: Graph, folder: string): string | undefined {
	let found: string | undefined;
	mapTensors(graph, (bytes) => {
		if ("data" in bytes) return bytes;
		const real = realpathSync(bytes.file);
		if (!real.startsWith(realpathSync(folder) + sep)) found = `weights at ${real} were accepted`;
		if (bytes.offset + bytes.length > statSync(real).size) found = `weights behind the end of ${real} were accepted`;
		return bytes;
	});
	return found;
}

/** Why a graph does not survive the passes that need no runtime. */
function lost(graph: Graph, folder: string): string | undefined {
	const sorted = { ...graph, nodes: sortNodes(graph, "fuzz") };
	if (!isDeepStrictEqual(sorted, graph)) return "sorting changes the order of a sorted graph";
	for (const [what, g] of [["read", graph] as const, ["upgraded", upgrade(graph)] as const]) {
		const bytes = writeModel(g, {
			place: (b) => ("data" in b ? b.data : { location: locationIn(folder, b.file), offset: b.offset, length: b.length }),
		});
		const back = readModel(bytes, { file: join(folder, "back.onnx"), sizeOf: (file) => statSync(file).size });
		if (!isDeepStrictEqual(inMemory(back), inMemory(g))) return `the ${what} graph is another one after writing and reading`;
	}
	return undefined;
}

/** Reads bytes through both doors; whatever is not acceptance of a sound graph or a KintsugiError is a fault. */
export function checkRead(bytes: Uint8Array, folder: string): Outcome {
	const file = join(folder, "model.onnx");
	writeFileSync(file, bytes);
	const memory = attempt(() => readModel(bytes));
	const disk = attempt(() => readModelFile(file));
	if ("fault" in memory) return memory;
	if (!("accepted" in disk)) {
		if ("fault" in disk) return disk;
		const why = disagreement(memory, disk);
		return why === undefined ? disk : { fault: why };
	}
	try {
		const why = escaped(disk.accepted, folder) ?? disagreement(memory, disk) ?? lost(disk.accepted, folder);
		return why === undefined ? disk : { fault: why };
	} catch (error) {
		return { fault: `accepted, then: ${stackOf(error)}` };
	}
}
