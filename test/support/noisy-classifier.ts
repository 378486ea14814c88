/** @file A randomised classifier: Gaussian noise is added to every image at every call (as in randomised smoothing). */
import type { Classifier } from "../../src/models/classifier.ts";
import { random } from "../../src/tensor/random.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";

export function noisyClassifier(inner: Classifier, { sigma, seed = 1 }: { sigma: number; seed?: number }): Classifier {
	const stream = random(seed, "noisy");
	const noised = (images: Tensor) =>
		tensor(
			images.data.map((v) => v + sigma * stream.normal()),
			images.dims,
		);
	return {
		...inner,
		name: `${inner.name} with noise`,
		hash: `${inner.hash}-${sigma}-${seed}`,
		predict: (images) => inner.predict(noised(images)),
		async lossGradient(...asked) {
			const exact = await inner.lossGradient(...asked);
			return (images, targets) => exact(noised(images), targets);
		},
	};
}
