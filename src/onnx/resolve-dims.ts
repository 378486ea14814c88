/** @file Numbers for all dims of a graph's inputs, from the few that somebody gave. */
import { KintsugiError } from "../errors.ts";
import { type FreezeOptions, fixInputs } from "./freeze.ts";
import { type Dims, type Graph, UNKNOWN_DIM, UNKNOWN_RANK } from "./graph.ts";

export interface ResolvedDims {
	/** Full dims by input. */
	shapes: Record<string, readonly number[]>;
	/** Symbolic dims that nobody gave and that are 1 because they come first (the batch). */
	assumed: Record<string, number>;
}

/** "pixel_values [batch, 3, 224, 224]" */
export const withDims = ({ name, dims }: { name: string; dims: Dims }): string => `${name} [${dims.join(", ")}]`;

/**
 * Dims of the inputs named: as given by input or by symbol, a symbol of one input's shape being that symbol everywhere; a first dim
 * that is still open is 1. Throws `shape` for names the graph does not have, for contradictions, and for dims that stay open.
 */
export function resolveDims(graph: Graph, { dims = {} }: Pick<FreezeOptions, "dims">, needed: readonly string[]): ResolvedDims {
	const fixed = new Map(fixInputs(graph, dims).map((v) => [v.name, v.dims]));
	const symbols = new Map<string, number>();
	for (const input of graph.inputs) {
		input.dims.forEach((symbol, i) => {
			const value = fixed.get(input.name)?.[i];
			if (typeof symbol !== "string" || symbol === UNKNOWN_DIM || typeof value !== "number") return;
			const known = symbols.get(symbol) ?? value;
			if (known !== value) throw contradiction(symbol, known, value, withDims(input));
			symbols.set(symbol, value);
		});
	}
	const inputs = graph.inputs.filter((v) => needed.includes(v.name));
	const assumed: Record<string, number> = {};
	for (const { name, dims: declared } of inputs) {
		const first = declared[0];
		if (typeof first !== "string" || first === UNKNOWN_RANK[0] || typeof fixed.get(name)?.[0] === "number" || symbols.has(first)) continue;
		assumed[first === UNKNOWN_DIM ? `first dim of ${name}` : first] = 1;
		if (first !== UNKNOWN_DIM) symbols.set(first, 1);
	}
	const shapes: Record<string, readonly number[]> = {};
	const open: string[] = [];
	for (const { name } of inputs) {
		const resolved = (fixed.get(name) ?? []).map((d, i) => {
			if (typeof d === "number") return d;
			return symbols.get(d) ?? (i === 0 && d === UNKNOWN_DIM ? 1 : d);
		});
		if (resolved.every((d) => typeof d === "number")) shapes[name] = resolved;
		else open.push(withDims({ name, dims: resolved }));
	}
	if (open.length > 0) throw unresolved(open);
	return { shapes, assumed };
}

const contradiction = (symbol: string, one: number, other: number, where: string) =>
	new KintsugiError("shape", {
		where: `the symbolic dim '${symbol}'`,
		expected: "one value",
		found: `${one} and, in ${where}, ${other}`,
		fix: "give it one value",
	});

const unresolved = (open: readonly string[]) =>
	new KintsugiError("shape", {
		where: "dims of the inputs",
		expected: "a number for each",
		found: open.join("; "),
		fix: "give the dims that are not numbers by name, or the input's whole shape",
	});
