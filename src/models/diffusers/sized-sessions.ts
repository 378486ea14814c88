/** @file Sessions of one architecture, opened when a size is first asked for. */
import type { Graph } from "../../onnx/graph.ts";
import { openSession, type Session, type SessionOptions } from "../../runtime/index.ts";

export interface SizedSessions<D extends object> {
	/** The session for these dims. */
	at(dims: D): Promise<Session>;
	close(): Promise<void>;
}

/** Keeps one session for every size it was asked for; `build` writes the graph. */
export function sizedSessions<D extends object>(build: (dims: D) => Graph, options: SessionOptions): SizedSessions<D> {
	const sessions = new Map<string, Promise<Session>>();
	return {
		at(dims) {
			const key = JSON.stringify(dims);
			const session = sessions.get(key) ?? openSession(build(dims), options);
			sessions.set(key, session);
			return session;
		},
		async close() {
			const open = [...sessions.values()];
			sessions.clear();
			for (const session of open) await (await session).close();
		},
	};
}
