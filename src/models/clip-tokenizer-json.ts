/** @file The tokenizer.json of a CLIP tokenizer that was saved in the old way, as vocab.json and merges.txt. */

/** Words, digits one by one, runs of other signs, English contractions, and the two special tokens. */
const PIECES = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

/** Byte-level BPE with "</w>" at the end of words, lower case, between the start and the end token. */
export function clipTokenizerJson(vocab: Readonly<Record<string, number>>, merges: string): Record<string, unknown> {
	const [start, end] = ["<|startoftext|>", "<|endoftext|>"];
	const special = (content: string) => ({
		id: vocab[content],
		content,
		single_word: false,
		lstrip: false,
		rstrip: false,
		normalized: false,
		special: true,
	});
	return {
		version: "1.0",
		added_tokens: [special(start), special(end)],
		normalizer: {
			type: "Sequence",
			normalizers: [{ type: "NFC" }, { type: "Replace", pattern: { Regex: "\\s+" }, content: " " }, { type: "Lowercase" }],
		},
		pre_tokenizer: {
			type: "Sequence",
			pretokenizers: [
				{ type: "Split", pattern: { Regex: PIECES }, behavior: "Removed", invert: true },
				{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
			],
		},
		post_processor: {
			type: "RobertaProcessing",
			sep: [end, vocab[end]],
			cls: [start, vocab[start]],
			trim_offsets: false,
			add_prefix_space: false,
		},
		decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
		model: {
			type: "BPE",
			unk_token: end,
			continuing_subword_prefix: "",
			end_of_word_suffix: "</w>",
			fuse_unk: false,
			byte_fallback: false,
			vocab,
			merges: merges.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#version")),
		},
	};
}
