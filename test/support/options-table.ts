/** @file Markdown tables of the options that a JSON Schema describes. */

export interface JsonSchema {
	type?: string;
	const?: unknown;
	enum?: readonly unknown[];
	default?: unknown;
	description?: string;
	properties?: Readonly<Record<string, JsonSchema>>;
	required?: readonly string[];
	items?: JsonSchema;
	prefixItems?: readonly JsonSchema[];
	anyOf?: readonly JsonSchema[];
	oneOf?: readonly JsonSchema[];
	allOf?: readonly JsonSchema[];
}

const code = (value: unknown) => `\`${typeof value === "string" ? value || '""' : JSON.stringify(value)}\``;
const cell = (text: string) => text.replaceAll("|", "\\|");

/** What may be written: "`crop` or `stretch`", "number", "list of text". */
function kindOf(schema: JsonSchema): string {
	if (schema.const !== undefined) return code(schema.const);
	if (schema.enum) return schema.enum.map(code).join(", ");
	const choices = schema.anyOf ?? schema.oneOf;
	if (choices) return [...new Set(choices.map(kindOf))].join(" or ");
	if (schema.prefixItems) return `${schema.prefixItems.length} numbers`;
	if (schema.type === "array" && schema.items) return `list of ${kindOf(schema.items)}`;
	if (schema.type === "object") return `{ ${Object.keys(schema.properties ?? {}).join(", ")} }`;
	return { integer: "whole number", string: "text", boolean: "yes or no" }[schema.type ?? ""] ?? schema.type ?? "any";
}

/** `within` is the optional object that the options belong to: what it requires is required only where it is given. */
function rows(schema: JsonSchema, prefix: string, within = ""): string[] {
	return Object.entries(schema.properties ?? {}).flatMap(([key, option]) => {
		const required = schema.required?.includes(key);
		if (option.properties && option.description === undefined) {
			return rows(option, `${prefix}${key}.`, required ? within : key);
		}
		const demand = within ? `required in \`${within}\`` : "required";
		const fallback = required ? demand : option.default === undefined ? "" : code(option.default);
		return [`| \`${prefix}${key}\` | ${cell(kindOf(option))} | ${cell(fallback)} | ${cell(option.description ?? "")} |`];
	});
}

/** One table for an object; one for each variant of a union, under its `name` or `kind`. */
export function optionsTable(schema: JsonSchema, prefix = ""): string {
	if (schema.oneOf) {
		return schema.oneOf
			.map((variant) => {
				const { name, kind } = variant.properties ?? {};
				return `#### ${code((name ?? kind)?.const)}\n\n${optionsTable(variant, prefix)}`;
			})
			.join("\n\n");
	}
	return ["| option | may be | default | meaning |", "|---|---|---|---|", ...rows(schema, prefix)].join("\n");
}
