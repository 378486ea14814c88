/** @file The one error type of the project: a stable code, and a message that says where, what was expected, what was found and what to do. */

/** Stable codes. `usage` errors end the command line with exit code 2, all others with 1. */
export type ErrorCode =
	| "usage" // the command or its options are wrong
	| "config" // an experiment file or a model's configuration is wrong
	| "image" // an image cannot be decoded or is refused
	| "model" // a model is missing, corrupt or of an unknown kind
	| "onnx" // an ONNX file or graph is malformed
	| "autodiff" // a graph cannot be differentiated
	| "shape" // a tensor has the wrong dims or dtype
	| "value" // an argument lies outside its range
	| "dataset" // a data set is missing, malformed or empty
	| "artifact"; // an artifact or record of a run is damaged

export interface ErrorParts {
	/** File, operator, option or tensor at which the fault was seen. */
	where: string;
	expected: string;
	found: string;
	/** What the reader can do about it: an imperative sentence without the final full stop. */
	fix: string;
}

/** An error a user can act on; printed as one line, without a stack trace. */
export class KintsugiError extends Error {
	readonly code: ErrorCode;
	readonly parts: ErrorParts;

	constructor(code: ErrorCode, parts: ErrorParts, options?: ErrorOptions) {
		super(`${parts.where}: expected ${parts.expected}, found ${parts.found}; ${parts.fix}`, options);
		this.name = "KintsugiError";
		this.code = code;
		this.parts = parts;
	}
}
