/** @file Weights of any float type as float. */
import type { GraphBuilder } from "../../onnx/builder.ts";
import { elementCode } from "../../onnx/elements.ts";
import type { ConstantTensor } from "../../onnx/graph.ts";

/** Adds a tensor to a graph as float, through a Cast if it is another float type; returns the value's name. */
export function floatConstant(g: GraphBuilder, tensor: ConstantTensor, name?: string): string {
	const constant = g.constant(tensor, name);
	return tensor.type === "float" ? constant : g.op("Cast", [constant], { to: elementCode("float") }, { name: `${constant}.float` });
}
