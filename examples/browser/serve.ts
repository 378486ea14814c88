/** @file Serves the example: npx tsx examples/browser/serve.ts, then open the address that it prints. */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const wasmFolder = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/wasm"));

/** The page's code and all it imports, in one file; fails if any of it needs Node. */
async function bundle(): Promise<Uint8Array> {
	const { outputFiles } = await build({
		entryPoints: [here("page.ts")],
		bundle: true,
		format: "esm",
		platform: "browser",
		target: "es2023",
		write: false,
		logLevel: "error",
	});
	return outputFiles[0].contents;
}

const TYPES: Record<string, string> = {
	html: "text/html; charset=utf-8",
	js: "text/javascript",
	mjs: "text/javascript",
	wasm: "application/wasm",
	onnx: "application/octet-stream",
};

async function content(path: string, script: Uint8Array): Promise<Uint8Array | undefined> {
	if (path === "/") return readFile(here("index.html"));
	if (path === "/page.js") return script;
	if (path === "/model.onnx") return readFile(here("../../test/golden/tiny-cnn.onnx"));
	const wasm = /^\/wasm\/([a-z.-]+\.(?:wasm|mjs))$/.exec(path);
	return wasm ? readFile(join(wasmFolder, wasm[1])) : undefined;
}

/** Starts the server on this machine; `onResult` gets what a page found. */
export async function serve({ port = 0, onResult }: { port?: number; onResult?: (body: string) => void } = {}): Promise<Server> {
	const script = await bundle();
	const server = createServer(async (request, response) => {
		const { pathname } = new URL(request.url ?? "/", "http://localhost");
		if (request.method === "POST" && pathname === "/result") {
			let body = "";
			for await (const chunk of request) body += chunk;
			onResult?.(body);
			response.end();
			return;
		}
		const found = await content(pathname, script).catch(() => undefined);
		if (!found) {
			response.writeHead(404).end();
			return;
		}
		const kind = pathname === "/" ? "html" : (pathname.split(".").at(-1) ?? "");
		response.writeHead(200, { "content-type": TYPES[kind] ?? "application/octet-stream" }).end(found);
	});
	await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
	return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const server = await serve({ port: 8080 });
	process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
}
