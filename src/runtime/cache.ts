/** @file Opened graphs by content: the same graph with the same options is opened once. */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import type { Graph } from "../onnx/graph.ts";
import { writeModel } from "../onnx/write.ts";
import { openSession, type Session, type SessionOptions } from "./session.ts";

export interface SessionCache {
	/** A session of this graph; closing it gives it back to the cache. */
	open(graph: Graph, options?: SessionOptions): Promise<Session>;
	/** Closes every session, those in use included. */
	close(): Promise<void>;
}

/** What a graph computes, as a sha256: nodes, constants in memory, and path, size and time of weight files. */
export function graphKey(graph: Graph): string {
	const hash = createHash("sha256");
	const files = new Set<string>();
	hash.update(
		writeModel(graph, {
			place: (bytes) => {
				if ("data" in bytes) return bytes.data;
				files.add(bytes.file);
				return { location: bytes.file, offset: bytes.offset, length: bytes.length };
			},
		}),
	);
	for (const file of files) {
		const { size, mtimeMs } = statSync(file);
		hash.update(`${file}\0${size}\0${mtimeMs}\0`);
	}
	return hash.digest("hex");
}

interface Entry {
	session: Promise<Session>;
	users: number;
}

/** Keeps up to `idle` sessions open that nobody uses, the most recently used ones. */
export function sessionCache({ idle = 4 }: { idle?: number } = {}): SessionCache {
	// A Map keeps insertion order: the first entry is the least recently used.
	const entries = new Map<string, Entry>();

	const evict = async () => {
		const unused = [...entries].filter(([, entry]) => entry.users === 0);
		for (const [key, entry] of unused.slice(0, Math.max(0, unused.length - idle))) {
			entries.delete(key);
			await (await entry.session).close();
		}
	};
	return {
		async open(graph, options = {}) {
			const key = `${graphKey(graph)} ${JSON.stringify(options, Object.keys(options).sort())}`;
			const entry = entries.get(key) ?? { session: openSession(graph, options), users: 0 };
			entry.users++;
			entries.delete(key);
			entries.set(key, entry);
			let session: Session;
			try {
				session = await entry.session;
			} catch (error) {
				entries.delete(key);
				throw error;
			}
			let open = true;
			return {
				...session,
				async close() {
					if (!open) return;
					open = false;
					entry.users--;
					await evict();
				},
			};
		},
		async close() {
			const all = [...entries.values()];
			entries.clear();
			for (const entry of all) await (await entry.session).close();
		},
	};
}
