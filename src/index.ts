/** @file What a program gets from `import ... from "kintsugi"`; graphs and gradients have doors of their own. */
export {
	type Attack,
	type AttackOptions,
	type AttackOutcome,
	type AttackProblem,
	type AttackResult,
	runAttack,
} from "./attacks/attack.ts";
export type { AttackInput } from "./attacks/input.ts";
export { type AttackSpec, type AttackSpecInput, createAttack, describeAttack } from "./attacks/schema.ts";
export { openCoco } from "./datasets/coco.ts";
export type { Annotation, Dataset, Sample } from "./datasets/dataset.ts";
export { openImageFolder } from "./datasets/image-folder.ts";
export { generateScenes } from "./datasets/scenes/generate.ts";
export { subset } from "./datasets/subset.ts";
export { multiHot } from "./datasets/targets.ts";
export { type ErrorCode, KintsugiError } from "./errors.ts";
export { bundledModels } from "./hub/bundled.ts";
export { type PlanOptions, type PullPlan, planPull } from "./hub/plan.ts";
export { type PullOptions, pull } from "./hub/pull.ts";
export { type ResolvedModel, resolveModel } from "./hub/resolve.ts";
export { type VerifiedFile, verifyModels } from "./hub/verify.ts";
export { type Canvas, type CanvasOptions, toCanvas } from "./image/canvas.ts";
export { type DecodedImage, decodeImage } from "./image/decode.ts";
export { encodePng, writePng } from "./image/encode.ts";
export { contactSheet, overlayMask, perturbationPicture, upscale } from "./image/overlay.ts";
export * from "./metrics/attack-success.ts";
export * from "./metrics/intervals.ts";
export * from "./metrics/ranking.ts";
export * from "./metrics/similarity.ts";
export type { Classifier, LossGradient, LossName } from "./models/classifier.ts";
export { openClip } from "./models/clip.ts";
export type { Detection, Detector } from "./models/detector.ts";
export { openDetector } from "./models/detectors/open-detector.ts";
export type { Lora } from "./models/diffusers/lora.ts";
export { openOnnxClassifier } from "./models/onnx-classifier.ts";
export { type DdpmPipeline, type DenoiseJob, type DenoiseOptions, openDdpmPipeline } from "./purifiers/pipelines/ddpm.ts";
export { type ImageToImageJob, type ImageToImageOptions, imageToImage } from "./purifiers/pipelines/image-to-image.ts";
export { type InpaintJob, type InpaintOptions, type InpaintPipeline, openInpaintPipeline } from "./purifiers/pipelines/inpaint.ts";
export type { StepReport } from "./purifiers/pipelines/run-batches.ts";
export type { Purified, Purifier, PurifierInput, PurifyOptions } from "./purifiers/purifier.ts";
export { openPurifier, PURIFIERS, type PurifierSpec } from "./purifiers/registry.ts";
export type { Region } from "./regions/region.ts";
export { findRegions, regionsSchema } from "./regions/regions.ts";
export { openSession, readModelFile, shapeRuntime, writeModelFile } from "./runtime/index.ts";
export {
	type LoopOptions,
	readSchedulerConfig,
	type Scheduler,
	type SchedulerFactory,
	type SchedulerName,
	type Step,
	schedulerFromConfig,
} from "./schedulers/scheduler.ts";
export { type Random, random } from "./tensor/random.ts";
export { row, stack, type Tensor, tensor } from "./tensor/tensor.ts";
