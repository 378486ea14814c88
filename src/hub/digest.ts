/** @file Names by content (design D9): canonical JSON and its sha256. */
import { createHash } from "node:crypto";

/** JSON with sorted keys and without undefined members: equal values give equal text. */
export function canonicalJson(value: unknown): string {
	return JSON.stringify(value, (_key, member: unknown) => {
		if (member === null || typeof member !== "object" || Array.isArray(member)) return member;
		const entries = Object.entries(member).filter(([, v]) => v !== undefined);
		return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
	});
}

/** Lower-case hex sha256 of bytes or text. */
export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** sha256 of the canonical JSON of a value. */
export const digest = (value: unknown): string => sha256(canonicalJson(value));
