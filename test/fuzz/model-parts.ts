/** @file Picks a part of a model at random: a graph, a node, an attribute, a tensor, a value. */
import { create } from "@bufbuild/protobuf";
import {
	type AttributeProto,
	AttributeProtoSchema,
	type GraphProto,
	GraphProtoSchema,
	type ModelProto,
	type NodeProto,
	NodeProtoSchema,
	type TensorProto,
	type TensorShapeProto_Dimension,
	type ValueInfoProto,
} from "onnx-buf";
import type { Random } from "../../src/tensor/random.ts";

export type ModelMutation = (model: ModelProto, r: Random, other: ModelProto) => void;

/** All graphs of a model, subgraphs included. */
function graphsOf(graph: GraphProto | undefined): GraphProto[] {
	if (!graph) return [];
	return [graph, ...graph.node.flatMap((n) => n.attribute.flatMap((a) => graphsOf(a.g)))];
}

const pickGraph = (model: ModelProto, r: Random): GraphProto | undefined => {
	const graphs = graphsOf(model.graph);
	return graphs.length === 0 ? undefined : r.pick(graphs);
};

export const onGraph =
	(change: (graph: GraphProto, r: Random, other: ModelProto) => void): ModelMutation =>
	(model, r, other) => {
		const graph = pickGraph(model, r);
		if (graph) change(graph, r, other);
	};

export const onNode = (change: (node: NodeProto, r: Random, graph: GraphProto) => void): ModelMutation =>
	onGraph((graph, r) => {
		if (graph.node.length > 0) change(r.pick(graph.node), r, graph);
	});

export const onAttribute = (change: (a: AttributeProto, r: Random, node: NodeProto) => void): ModelMutation =>
	onGraph((graph, r) => {
		const nodes = graph.node.filter((n) => n.attribute.length > 0);
		if (nodes.length === 0) return;
		const node = r.pick(nodes);
		change(r.pick(node.attribute), r, node);
	});

export const onTensor = (change: (t: TensorProto, r: Random) => void): ModelMutation =>
	onGraph((graph, r) => {
		const tensors = [...graph.initializer, ...graph.node.flatMap((n) => n.attribute.flatMap((a) => a.t ?? []))];
		if (tensors.length > 0) change(r.pick(tensors), r);
	});

export const onValue = (change: (v: ValueInfoProto, r: Random) => void): ModelMutation =>
	onGraph((graph, r) => {
		const values = [...graph.input, ...graph.output];
		if (values.length > 0) change(r.pick(values), r);
	});

export const onDims = (change: (dim: TensorShapeProto_Dimension[], r: Random) => void): ModelMutation =>
	onValue((v, r) => {
		if (v.type?.value.case === "tensorType" && v.type.value.value.shape) change(v.type.value.value.shape.dim, r);
	});

export const valueNames = (graph: GraphProto) => [
	...graph.input.map((v) => v.name),
	...graph.initializer.map((t) => t.name),
	...graph.node.flatMap((n) => n.output),
];

export function setAt<T>(list: T[], r: Random, value: T): void {
	if (list.length === 0) list.push(value);
	else list[r.int(list.length)] = value;
}

/** Gives one value another name, wherever it is mentioned. */
export function renameValue(graph: GraphProto, from: string, to: string): void {
	const swapped = (name: string) => (name === from ? to : name);
	for (const v of [...graph.input, ...graph.output, ...graph.initializer]) if (v.name === from) v.name = to;
	for (const n of graph.node) {
		n.input = n.input.map(swapped);
		n.output = n.output.map(swapped);
		for (const inner of n.attribute.flatMap((a) => graphsOf(a.g))) renameValue(inner, from, to);
	}
}

/** The graph inside an If inside an If ..., all of them in `then_branch`. */
export function buried(graph: GraphProto, depth: number): GraphProto {
	let inner = graph;
	for (let i = 0; i < depth; i++) {
		const branch = create(AttributeProtoSchema, { name: "then_branch", type: 5, g: inner });
		inner = create(GraphProtoSchema, { name: `level ${i}`, node: [create(NodeProtoSchema, { opType: "If", attribute: [branch] })] });
	}
	return inner;
}
