/** @file What every classifier can do, however it was made. Attacks and purifiers know only this. */
import type { Tensor } from "../tensor/tensor.ts";

/**
 * A scalar loss of one image, from logits `[N, K]` and targets `[N, K]` (float32; one-hot, multi-hot or soft).
 * Attacks raise it (untargeted, targets = truth) or lower it (targeted, targets = what the attacker wants).
 */
export type LossName =
	| "cross-entropy" // -sum_k t_k log softmax(z)_k
	| "set-cross-entropy" // -log sum_k t_k softmax(z)_k: how unlikely it is that the top label is a wanted one; of one label, cross-entropy
	| "bce" // sum_k binary cross-entropy of sigmoid(z_k - threshold_k) with t_k
	| "margin" // max over k with t = 0 of z_k, minus min over k with t = 1 of z_k
	| "set-margin" // max over k with t = 0 of z_k, minus max over k with t = 1 of z_k: positive when the top label is not a wanted one; of one label, margin
	| "ranking" // k-th largest over labels with t = 0 of z, minus max over k with t = 1 of z_k: positive when no wanted label is among the top k
	| "linear" // sum_k t_k z_k, for any t: the gradient of any combination of logits
	| "dlr" // set-margin / (z_(1) - z_(3) + 1e-12), with z_(i) the i-th largest; of one label, AutoAttack's difference of logits ratio
	| "dlr-targeted"; // -(max over t = 1 of z_k, minus z_k where t = -1) / (z_(1) - (z_(3) + z_(4)) / 2 + 1e-12): away from the wanted labels towards one other

export interface LossParameters {
	/** k of the loss "ranking"; default 3. */
	readonly k?: number | undefined;
}

/** The caller may write into these arrays. */
export interface LossGradient {
	/** `[N]`, one loss an image. */
	loss: Float32Array;
	/** `[N, K]` */
	logits: Tensor;
	/** `[N, 3, H, W]`: d loss / d canvas pixels. */
	gradient: Tensor;
}

/** Images are canvases: `[N, 3, H, W]`, pixels in [0, 1]. Any N is accepted; batching is the classifier's own affair. */
export interface Classifier {
	readonly name: string;
	/** sha256 over everything that decides its outputs (weights, graph, labels, prompts). */
	readonly hash: string;
	readonly labels: readonly string[];
	/** Canvas height and width. */
	readonly canvas: { readonly height: number; readonly width: number };
	/** Logit above which a label counts as present, one a label: `[K]`. */
	readonly thresholds: Float32Array;
	/** Logits `[N, K]`. */
	predict(images: Tensor): Promise<Tensor>;
	/** Loss, logits and gradient in one run (the loss is part of the gradient graph). */
	lossGradient(loss: LossName, options?: LossParameters): Promise<(images: Tensor, targets: Tensor) => Promise<LossGradient>>;
	close(): Promise<void>;
}
