/** @file Control: Gaussian blur. */
import { z } from "zod";
import { gaussianBlur } from "../image/baselines.ts";
import { fullMask } from "../image/mask.ts";
import { eachImage } from "./each-image.ts";
import { parseOptions } from "./options.ts";
import type { Purifier } from "./purifier.ts";

export const blurSchema = z.strictObject({
	sigma: z.number().positive().default(1).describe("standard deviation in pixels"),
});

export function blur(options: z.input<typeof blurSchema> = {}): Purifier {
	const settings = parseOptions(blurSchema, options, "blur");
	return eachImage("blur", settings, {
		change(image) {
			const [, height, width] = image.dims;
			return { image: gaussianBlur(image, settings.sigma), mask: fullMask({ height, width }) };
		},
	});
}
