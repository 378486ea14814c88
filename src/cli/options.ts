/** @file Option values that several commands read. */
import { type Command, InvalidArgumentError } from "commander";
import { parse } from "yaml";

export function wholeNumber(text: string): number {
	if (/^\d{1,10}$/.test(text)) return Number(text);
	throw new InvalidArgumentError("Expected a whole number.");
}

export function positiveNumber(text: string): number {
	const value = /^\d{1,10}$/.test(text) ? Number(text) : 0;
	if (value > 0) return value;
	throw new InvalidArgumentError("Expected a whole number above 0.");
}

export const commaList = (text: string): string[] =>
	text
		.split(",")
		.map((part) => part.trim())
		.filter((part) => part !== "");

/** Gathers KEY=VALUE options; values are read as YAML, so 0.5, true and [1, 2] mean what they say. */
export function keyValue(text: string, earlier: Record<string, unknown> = {}): Record<string, unknown> {
	const [, key, value] = /^([\w-]+)=(.*)$/s.exec(text) ?? [];
	if (key === undefined) throw new InvalidArgumentError("Expected KEY=VALUE.");
	return { ...earlier, [key]: parse(value) as unknown };
}

/** The options that every command takes. */
export const withGlobals = (command: Command): Command =>
	command.option("--json", "print one JSON object instead of text").option("--quiet", "no progress and no notes");
