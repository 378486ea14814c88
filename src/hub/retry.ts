/** @file Tries again what may succeed later: waits longer each time, as long as a server asks, and not for ever. */
import { setTimeout as sleep } from "node:timers/promises";
import type { KintsugiError } from "../errors.ts";

/** A failure that may pass; `failure` is what the user is told if it does not. */
export class Transient extends Error {
	readonly failure: KintsugiError;
	/** Milliseconds that the server asked to wait. */
	readonly retryAfter: number | undefined;

	constructor(failure: KintsugiError, retryAfter?: number) {
		super(failure.message, { cause: failure });
		this.name = "Transient";
		this.failure = failure;
		this.retryAfter = retryAfter;
	}
}

export interface RetryOptions {
	/** Tries in a row that may fail without progress. */
	attempts?: number;
	/** Waits that many milliseconds; rejects when the signal aborts. */
	wait?: ((milliseconds: number, signal?: AbortSignal) => Promise<void>) | undefined;
	signal?: AbortSignal | undefined;
	/** Told before each pause. */
	onRetry?: ((reason: string, milliseconds: number) => void) | undefined;
}

/** Longest pause that a server may ask for, in milliseconds. */
export const LONGEST_PAUSE = 10 * 60_000;

const realWait = (milliseconds: number, signal?: AbortSignal): Promise<void> => sleep(milliseconds, undefined, signal ? { signal } : {});

/**
 * Runs `work` until it does not throw `Transient`. Pauses 1, 2, 4, ... seconds, or what the server asked for; `progressed`
 * makes the count of attempts start anew. Throws the last failure after `attempts`, or at once where the pause is too long.
 */
export async function withRetries<T>(
	work: (progressed: () => void) => Promise<T>,
	{ attempts = 5, wait = realWait, signal, onRetry }: RetryOptions = {},
): Promise<T> {
	let failed = 0;
	for (;;) {
		signal?.throwIfAborted();
		try {
			return await work(() => {
				failed = 0;
			});
		} catch (error) {
			if (!(error instanceof Transient)) throw error;
			failed++;
			const pause = error.retryAfter ?? 1000 * 2 ** (failed - 1);
			if (failed >= attempts || pause > LONGEST_PAUSE) throw error.failure;
			onRetry?.(`${error.failure.parts.where}: ${error.failure.parts.found}`, pause);
			await wait(pause, signal);
		}
	}
}
