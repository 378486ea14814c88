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

/** Gathers the values of an option that may be repeated. */
export const collected = (text: string, earlier: readonly string[] = []): string[] => [...earlier, text];

/** Gathers NAME=NUMBER,NAME=NUMBER; names may hold anything but commas. */
export function dimValues(text: string, earlier: Record<string, number> = {}): Record<string, number> {
	const parts = commaList(text).map((part) => /^(.+)=(\d{1,10})$/.exec(part));
	if (parts.length === 0 || parts.includes(null)) throw new InvalidArgumentError("Expected NAME=NUMBER, with commas between.");
	return { ...earlier, ...Object.fromEntries(parts.map((match) => [match?.[1], Number(match?.[2])])) };
}

/** Gathers INPUT=8x3x224x224. */
export function shapeOf(text: string, earlier: Record<string, readonly number[]> = {}): Record<string, readonly number[]> {
	const [, name, dims] = /^(.+)=(\d{1,10}(?:x\d{1,10})*)$/.exec(text) ?? [];
	if (name === undefined) throw new InvalidArgumentError("Expected INPUT=DIMS, such as pixel_values=1x3x224x224.");
	return { ...earlier, [name]: dims.split("x").map(Number) };
}

/** LOW,HIGH */
export function numberRange(text: string): [number, number] {
	const [low, high, ...more] = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
	if (more.length === 0 && low < high && Number.isFinite(high - low)) return [low, high];
	throw new InvalidArgumentError("Expected LOW,HIGH with LOW below HIGH.");
}

/** The options that every command takes. */
export const withGlobals = (command: Command): Command =>
	command.option("--json", "print one JSON object instead of text").option("--quiet", "no progress and no notes");
