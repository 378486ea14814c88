/** @file What every detector can do. */
import type { Tensor } from "../tensor/tensor.ts";

export interface Detection {
	label: string;
	/** Confidence in [0, 1]. */
	score: number;
	/** [x, y, width, height] in canvas pixels, as in COCO. */
	box: readonly [number, number, number, number];
}

/** Images are canvases: `[N, 3, H, W]`, pixels in [0, 1]. */
export interface Detector {
	readonly name: string;
	/** sha256 over everything that decides its outputs. */
	readonly hash: string;
	readonly labels: readonly string[];
	/** Detections of each image, best first. */
	detect(images: Tensor, options?: { threshold?: number }): Promise<Detection[][]>;
	close(): Promise<void>;
}
