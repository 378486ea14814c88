/** @file The terms of generated scenes. */
import type { License } from "../dataset.ts";

/** Whoever passes scenes on passes the package's NOTICE on with them. */
export const SCENES_LICENSE: License = {
	id: 1,
	name: "Drawn with Noto Emoji, Fluent Emoji, FxEmojis and Twemoji: licences and attribution in NOTICE",
	url: "",
};
