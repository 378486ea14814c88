/** @file Writes graphs node by node. A value is its name. */
import { KintsugiError } from "../errors.ts";
import type { Attribute, ConstantTensor, Dims, ElementType, Graph, Node, ValueInfo } from "./graph.ts";

/** What an attribute may be given as: a plain number is an int, `float(x)` a float. */
export type AttributeInput = number | string | readonly number[] | Attribute;

export const float = (value: number): Attribute => ({ float: value });
export const floats = (values: readonly number[]): Attribute => ({ floats: values });

/** BigInt has an error of its own for fractions, which come from shapes that do not fit a model's attributes. */
function whole(value: number): bigint {
	if (Number.isInteger(value)) return BigInt(value);
	throw new KintsugiError("onnx", {
		where: "dims and int attributes",
		expected: "whole numbers",
		found: `${value}`,
		fix: "check that the model runs with these shapes",
	});
}

function attribute(value: AttributeInput): Attribute {
	if (typeof value === "number") return { int: whole(value) };
	if (typeof value === "string") return { string: value };
	if (Array.isArray(value)) return { ints: value.map((v: number) => whole(v)) };
	return value as Attribute;
}

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A float tensor held in memory. */
export const floatTensor = (values: ArrayLike<number>, dims: readonly number[]): ConstantTensor => ({
	type: "float",
	dims,
	bytes: { data: bytesOf(Float32Array.from(values)) },
});

/** An int64 tensor held in memory. */
export const int64Tensor = (values: readonly number[], dims: readonly number[] = [values.length]): ConstantTensor => ({
	type: "int64",
	dims,
	bytes: { data: bytesOf(BigInt64Array.from(values, whole)) },
});

export interface GraphBuilder {
	/** Declares a graph input and returns its name; throws `onnx` if it is taken. */
	input(name: string, type: ElementType, dims: Dims): string;
	/** Declares a graph output. */
	output(name: string, type: ElementType, dims: Dims): void;
	/** Adds a constant tensor and returns its name; throws `onnx` if a given name belongs to something else. */
	constant(value: ConstantTensor, name?: string): string;
	/** A scalar float constant (equal values share one tensor). */
	scalar(value: number): string;
	/** A one-dimensional int64 constant (equal values share one tensor). */
	ints(values: readonly number[]): string;
	/** Adds a node with one output and returns the output's name. */
	op(op: string, inputs: readonly string[], attributes?: Record<string, AttributeInput>, options?: OpOptions): string;
	/** Adds a node with several outputs and returns their names. */
	ops(op: string, inputs: readonly string[], outputs: number, attributes?: Record<string, AttributeInput>, options?: OpOptions): string[];
	/** A fresh name that starts with `hint`. */
	fresh(hint: string): string;
	build(): Graph;
}

export interface OpOptions {
	/** Name of the (first) output; made unique if taken. */
	name?: string;
	domain?: string;
}

export interface BuilderOptions {
	name?: string;
	opset?: number;
	/** Start from this graph: its nodes come first, its names are taken. */
	extend?: Graph;
	/** Prefix of every generated name, so that additions can be told from the original. */
	prefix?: string;
}

/** The opset that graphs are written in unless they extend an older one. */
export const OPSET = 20;

/** Starts a graph, empty or as a continuation of another. */
export function graphBuilder({ name = "kintsugi", opset, extend, prefix = "" }: BuilderOptions = {}): GraphBuilder {
	const inputs: ValueInfo[] = [...(extend?.inputs ?? [])];
	const outputs: ValueInfo[] = [...(extend?.outputs ?? [])];
	const initializers = new Map<string, ConstantTensor>(extend?.initializers);
	const nodes: Node[] = [...(extend?.nodes ?? [])];
	const domains: Record<string, number> = { ...extend?.domains };
	const taken = new Set<string>([...inputs.map((v) => v.name), ...initializers.keys(), ...nodes.flatMap((n) => [n.name, ...n.outputs])]);
	const shared = new Map<string, string>();
	const counters = new Map<string, number>();

	const fresh = (hint: string): string => {
		const base = prefix + hint;
		if (!taken.has(base)) {
			taken.add(base);
			return base;
		}
		let i = counters.get(base) ?? 1;
		while (taken.has(`${base}_${i}`)) i++;
		counters.set(base, i + 1);
		taken.add(`${base}_${i}`);
		return `${base}_${i}`;
	};
	const claim = (given: string): string => {
		if (taken.has(given)) {
			throw new KintsugiError("onnx", {
				where: `building the graph '${name}'`,
				expected: "a name that is not taken",
				found: `'${given}' a second time`,
				fix: "choose another name, or leave it out",
			});
		}
		taken.add(given);
		return given;
	};
	const constant = (value: ConstantTensor, given?: string): string => {
		// A weight that is used twice may be declared twice.
		if (given !== undefined && initializers.get(given) === value) return given;
		const unique = given === undefined ? fresh("const") : claim(given);
		initializers.set(unique, value);
		return unique;
	};
	const share = (key: string, make: () => ConstantTensor): string => {
		const known = shared.get(key);
		if (known) return known;
		const made = constant(make());
		shared.set(key, made);
		return made;
	};
	const ops: GraphBuilder["ops"] = (op, inputNames, count, attributes = {}, options = {}) => {
		const first = fresh(options.name ?? op);
		const outputNames = [first, ...Array.from({ length: count - 1 }, (_, i) => fresh(`${options.name ?? op}.${i + 1}`))];
		const domain = options.domain ?? "";
		if (domain !== "") domains[domain] ??= 1;
		nodes.push({
			op,
			domain,
			name: first,
			inputs: inputNames,
			outputs: outputNames,
			attributes: Object.fromEntries(Object.entries(attributes).map(([k, v]) => [k, attribute(v)])),
		});
		return outputNames;
	};
	return {
		input(inputName, type, dims) {
			inputs.push({ name: claim(inputName), type, dims });
			return inputName;
		},
		output(outputName, type, dims) {
			outputs.push({ name: outputName, type, dims });
		},
		constant,
		scalar: (value) => share(`f${Object.is(value, -0) ? "-0" : value}`, () => floatTensor([value], [])),
		ints: (values) => share(`i${values.join(",")}`, () => int64Tensor(values)),
		op: (op, inputNames, attributes, options) => ops(op, inputNames, 1, attributes, options)[0],
		ops,
		fresh,
		build: () => ({
			name: extend?.name ?? name,
			opset: opset ?? extend?.opset ?? OPSET,
			domains,
			inputs,
			outputs,
			initializers,
			nodes,
		}),
	};
}
