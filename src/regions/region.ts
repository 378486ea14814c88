/** @file A place in the image that is to be repainted, and what stands there. */
import type { Detection } from "../models/detector.ts";

/** One object found in the attacked image. */
export interface Region extends Detection {
	/** What the inpainting model is told to paint here. */
	prompt: string;
}
