import { expect, test } from "vitest";
import { golden, maxDifference, readTensors } from "../../../test/golden/tensors.ts";
import { guidanceEmbedding } from "./guidance-embedding.ts";

test("is what LatentConsistencyModelPipeline of diffusers tells its network", async () => {
	const { timestep_cond } = await readTensors(golden("published_tiny/lcm-dreamshaper-unet/golden.safetensors"));
	expect(maxDifference(guidanceEmbedding(8.5, 32), timestep_cond)).toBeLessThan(1e-6);
	const none = guidanceEmbedding(1, 256);
	expect(none.dims).toEqual([1, 256]);
	expect([...none.data]).toEqual([...new Array(128).fill(0), ...new Array(128).fill(1)]);
});
