/** @file Adam (Kingma and Ba, ICLR 2015, arXiv 1412.6980). */

export interface AdamOptions {
	learningRate: number;
	beta1?: number;
	beta2?: number;
	epsilon?: number;
}

/** A fresh optimiser for values `[size]`: each call moves `values` in place, downhill along `gradient`. */
export function adam(size: number, { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions) {
	const mean = new Float32Array(size);
	const square = new Float32Array(size);
	let t = 0;
	return (values: Float32Array, gradient: Float32Array): void => {
		t++;
		const [unbiasMean, unbiasSquare] = [1 - beta1 ** t, 1 - beta2 ** t];
		for (let i = 0; i < size; i++) {
			const g = gradient[i];
			mean[i] = beta1 * mean[i] + (1 - beta1) * g;
			square[i] = beta2 * square[i] + (1 - beta2) * g * g;
			values[i] -= (learningRate * (mean[i] / unbiasMean)) / (Math.sqrt(square[i] / unbiasSquare) + epsilon);
		}
	};
}
