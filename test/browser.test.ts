/** @file `kintsugi/onnx` and `kintsugi/autodiff` in a real browser, with onnxruntime-web. Skipped where there is no Chromium. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type PageResult, ramp } from "../examples/browser/page.ts";
import { serve } from "../examples/browser/serve.ts";
import { lossGradientGraph } from "../src/autodiff/index.ts";
import { freeze } from "../src/onnx/index.ts";
import { openSession, readModelFile, shapeRuntime } from "../src/runtime/index.ts";
import { tensor } from "../src/tensor/tensor.ts";

const browser = [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"].find(
	(name) => name && spawnSync(name, ["--version"]).status === 0,
);

async function inNode(): Promise<{ loss: number[]; gradient: number[] }> {
	const model = readModelFile(fileURLToPath(new URL("golden/tiny-cnn.onnx", import.meta.url)));
	const frozen = await freeze(model, { dims: { x: [1, 3, 16, 16] } }, shapeRuntime);
	const session = await openSession(lossGradientGraph(frozen, { input: "x", logits: "logits", loss: "cross-entropy" }));
	const targets = tensor(
		Float32Array.from({ length: 10 }, (_, k) => (k === 3 ? 1 : 0)),
		[1, 10],
	);
	const { loss, gradient } = await session.run({ x: tensor(Float32Array.from(ramp()), [1, 3, 16, 16]), targets });
	await session.close();
	return { loss: [...(loss.data as Float32Array)], gradient: [...(gradient.data as Float32Array)] };
}

describe.skipIf(!browser)("in a browser", () => {
	it("derives and runs the gradient that Node does", { timeout: 120_000 }, async () => {
		const profile = mkdtempSync(join(tmpdir(), "kintsugi-browser-"));
		let found: (body: string) => void = () => {};
		const answer = new Promise<string>((resolve) => {
			found = resolve;
		});
		const server = await serve({ onResult: (body) => found(body) });
		const { port } = server.address() as AddressInfo;
		const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];
		const page = spawn(browser ?? "", [...flags, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`], { detached: true });
		try {
			const result = JSON.parse(await answer) as PageResult & { error?: string };
			expect(result.error).toBeUndefined();
			const expected = await inNode();
			expect(result.loss[0]).toBeCloseTo(expected.loss[0], 5);
			const largest = Math.max(...expected.gradient.map(Math.abs));
			expect(largest).toBeGreaterThan(0);
			const difference = Math.max(...result.gradient.map((v, i) => Math.abs(v - expected.gradient[i])));
			expect(difference / largest).toBeLessThan(1e-5);
		} finally {
			// Chromium's helpers outlive it for a moment and write into the profile: the whole group is ended.
			const closed = new Promise((done) => page.once("exit", done));
			if (page.pid !== undefined) process.kill(-page.pid, "SIGKILL");
			await closed;
			server.close();
			rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
		}
	});
});
