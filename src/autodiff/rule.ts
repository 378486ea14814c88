/** @file The contract of a rule: from the cotangents of a node's outputs to those of its inputs. */
import type { Node } from "../onnx/graph.ts";
import type { Emit, Value } from "./emit.ts";

/** What a rule sees of the node it differentiates. */
export interface RuleContext {
	readonly e: Emit;
	readonly node: Node;
	readonly opset: number;
	/** Input i; undefined if it is left out. */
	readonly inputs: readonly (Value | undefined)[];
	readonly outputs: readonly Value[];
	/** Input i, which the operator requires. */
	x(i?: number): Value;
	/** Output 0. */
	readonly y: Value;
	/** True if input i lies on a path to what is differentiated for. */
	needs(i: number): boolean;
	/** Numbers of input i if it is a constant in memory. */
	constant(i: number): number[] | undefined;
	/** As `constant`, but throws `autodiff` if they are not known. */
	known(i: number, what: string): number[];
	int(name: string, fallback: number): number;
	ints(name: string): number[] | undefined;
	float(name: string, fallback: number): number;
	text(name: string, fallback: string): string;
	/** An optional output that the forward node is made to return as well. */
	extra(index: number, value: Omit<Value, "name">): Value;
	/** The error for a form of the operator that the rule does not cover. */
	unsupported(form: string, fix: string): Error;
}

/**
 * One cotangent an input; undefined where there is none. A cotangent may have the broadcast dims of the output:
 * the walk sums it down to the input's dims. `dy` is the cotangent of output 0, `dys` of all outputs.
 */
export type Vjp = (c: RuleContext, dy: Value, dys: readonly (Value | undefined)[]) => (Value | undefined)[];

export interface Rule {
	vjp: Vjp;
	/** Inputs that carry no gradient: shapes, indices, conditions. */
	stop?: readonly number[];
}

/** Rules by operator name; operators of other domains as "domain:Name". */
export type RuleFamily = Readonly<Record<string, Rule>>;

/** Most elements of a table that a rule computes itself: crafted dims must not exhaust the memory. */
export const MAX_TABLE = 2 ** 24;

/** A negative axis counted from the end. */
export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
