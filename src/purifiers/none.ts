/** @file Control: no defence. */
import { z } from "zod";
import { fullMask } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import { eachImage } from "./each-image.ts";
import type { Purifier } from "./purifier.ts";

export const noneSchema = z.strictObject({});

/** The image itself, rounded to 8 bits. */
export const none = (): Purifier =>
	eachImage(
		"none",
		{},
		{
			change: (image) => ({ image: quantise(image), mask: fullMask({ height: image.dims[1], width: image.dims[2] }, 0) }),
		},
	);
