/** @file TensorProto -> ConstantTensor: every way in which a file may hold numbers becomes raw little-endian bytes. */
import type { TensorProto } from "onnx-buf";
import { KintsugiError } from "../errors.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { checkBytes, elementSize, elementType } from "./elements.ts";
import { externalFile, folderOf } from "./external.ts";
import type { ConstantTensor, ElementType, TensorBytes } from "./graph.ts";
import type { ReadContext } from "./read.ts";
import { IN_PLACE } from "./scan.ts";

/** A constant over an array that nobody else holds. */
export const scalarTensor = (type: ElementType, array: ArrayBufferView, dims: readonly number[]): ConstantTensor => ({
	type,
	dims,
	bytes: { data: new Uint8Array(array.buffer, array.byteOffset, array.byteLength) },
});

export function readTensor(t: TensorProto, context: ReadContext): ConstantTensor {
	const where = `${context.where}, tensor '${t.name}'`;
	const type = elementType(t.dataType);
	if (!type || type === "string") {
		throw new KintsugiError("onnx", {
			where,
			expected: "numbers of a standard type",
			found: `element type ${t.dataType}`,
			fix: "use the model's unquantised float32 or float16 export",
		});
	}
	const dims = t.dims.map(Number);
	const bytes = placeOf(t, type, dims, where, context);
	checkBytes(where, type, dims, "data" in bytes ? bytes.data.length : bytes.length);
	return { type, dims, bytes };
}

function placeOf(t: TensorProto, type: ElementType, dims: readonly number[], where: string, context: ReadContext): TensorBytes {
	const entries = new Map(t.externalData.map((e) => [e.key, e.value]));
	if (t.dataLocation === 1) return external(entries, elementSize(type) * sizeOf(dims), where, context);
	const place = entries.get(IN_PLACE);
	if (place === undefined) return { data: rawBytes(t, type) };
	const { offset, length } = range(place.split(" "), where, context.where, context.size);
	return context.inPlace(offset, length);
}

function external(entries: ReadonlyMap<string, string>, expected: number, where: string, context: ReadContext): TensorBytes {
	const location = entries.get("location") ?? "";
	if (context.file === undefined) {
		throw new KintsugiError("onnx", {
			where,
			expected: "weights inside the model",
			found: `external data in ${JSON.stringify(location)}`,
			fix: "open the model by its path, so that its folder is known",
		});
	}
	const file = externalFile(where, folderOf(context.file), location);
	const size = context.sizeOf?.(file) ?? Number.POSITIVE_INFINITY;
	return { file, ...range([entries.get("offset") ?? "0", entries.get("length") ?? `${expected}`], where, file, size) };
}

/** Plain decimal numbers within a file; Number would also read "", " 8", "0x10" and "1e3". */
function range([offset, length]: readonly string[], where: string, file: string, size: number): { offset: number; length: number } {
	const whole = [offset, length].every((text) => /^\d{1,15}$/.test(text));
	if (whole && Number(offset) + Number(length) <= size) return { offset: Number(offset), length: Number(length) };
	throw new KintsugiError("onnx", {
		where,
		expected: `bytes within ${file} (${size} bytes)`,
		found: `offset ${offset}, length ${length}`,
		fix: "check that the download of the weights is complete",
	});
}

/** Little endian is assumed of the machine too, as in every engine that Node runs on. */
function rawBytes(t: TensorProto, type: ElementType): Uint8Array {
	if (t.rawData.length > 0) return t.rawData;
	const array = ((): ArrayBufferView => {
		switch (type) {
			case "float":
				return Float32Array.from(t.floatData);
			case "double":
				return Float64Array.from(t.doubleData);
			case "int64":
				return BigInt64Array.from(t.int64Data);
			case "uint64":
				return BigUint64Array.from(t.uint64Data);
			case "uint32":
				return Uint32Array.from(t.uint64Data, Number);
			case "int32":
				return Int32Array.from(t.int32Data);
			case "int16":
			case "uint16":
			case "float16":
			case "bfloat16":
				return Uint16Array.from(t.int32Data);
			default:
				return Uint8Array.from(t.int32Data);
		}
	})();
	return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
