/** @file Devices by name. */
import { KintsugiError } from "../errors.ts";

/** Execution providers of ONNX Runtime, in the order in which they are tried. */
const PROVIDERS = {
	cpu: ["cpu"],
	cuda: ["cuda", "cpu"],
	tensorrt: ["tensorrt", "cuda", "cpu"],
	webgpu: ["webgpu", "cpu"],
	coreml: ["coreml", "cpu"],
	directml: ["dml", "cpu"],
} as const satisfies Record<string, readonly string[]>;

/** Only `cpu` comes with the package and is tested; the others need an ONNX Runtime build that has them. */
export type Device = keyof typeof PROVIDERS;

export const DEVICES = Object.keys(PROVIDERS) as Device[];

/** The providers of a device; throws `value` for unknown names. */
export function executionProviders(device: string): string[] {
	if (!Object.hasOwn(PROVIDERS, device)) {
		throw new KintsugiError("value", { where: "device", expected: DEVICES.join(", "), found: device, fix: "choose one of these" });
	}
	return [...PROVIDERS[device as Device]];
}
