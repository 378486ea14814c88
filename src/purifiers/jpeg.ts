/** @file Control: JPEG compression. */
import { z } from "zod";
import { jpegRoundTrip } from "../image/baselines.ts";
import { fullMask } from "../image/mask.ts";
import { eachImage } from "./each-image.ts";
import { parseOptions } from "./options.ts";
import type { Purifier } from "./purifier.ts";

export const jpegSchema = z.strictObject({
	quality: z.int().min(1).max(100).default(75).describe("JPEG quality"),
});

export function jpeg(options: z.input<typeof jpegSchema> = {}): Purifier {
	const settings = parseOptions(jpegSchema, options, "jpeg");
	return eachImage("jpeg", settings, {
		async change(image) {
			const [, height, width] = image.dims;
			return { image: await jpegRoundTrip(image, settings.quality), mask: fullMask({ height, width }) };
		},
	});
}
