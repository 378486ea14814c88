/** @file The gradient of an ONNX model, as an ONNX model. Run: npx tsx examples/gradient.ts */
import { lossGradientGraph } from "../src/autodiff/index.ts";
import { freeze } from "../src/onnx/index.ts";
import { openSession, readModelFile, shapeRuntime } from "../src/runtime/index.ts";
import { random } from "../src/tensor/random.ts";
import { tensor } from "../src/tensor/tensor.ts";

// Any classifier from pixels to logits; this one is a small CNN of the tests: x [batch, 3, 16, 16] -> logits [batch, 10].
const model = readModelFile(new URL("../test/golden/tiny-cnn.onnx", import.meta.url).pathname);

// Gradients are built for one fixed shape: that is what lets ONNX Runtime infer and fold everything.
const frozen = await freeze(model, { dims: { x: [2, 3, 16, 16] } }, shapeRuntime);
const session = await openSession(lossGradientGraph(frozen, { input: "x", logits: "logits", loss: "cross-entropy" }));

const x = tensor(random("example").uniforms(2 * 3 * 16 * 16), [2, 3, 16, 16]);
const targets = tensor(new Float32Array(20), [2, 10]);
targets.data[3] = 1; // image 0 is of class 3
targets.data[10 + 7] = 1; // image 1 is of class 7

// One run returns the loss, the logits and d loss / d pixels.
const { loss, gradient } = await session.run({ x, targets });
console.log("loss of each image:", [...loss.data].map((v) => Number(v).toFixed(4)).join(", "));
console.log(
	"gradient:",
	`[${gradient.dims.join(", ")}]`,
	"first values",
	[...gradient.data.slice(0, 3)].map((v) => Number(v).toExponential(2)).join(", "),
);
await session.close();
