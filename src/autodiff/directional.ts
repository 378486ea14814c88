/** @file A gradient against differences of its function along a line, in a way that kinks do not disturb. */

/** At x + t v: the function, and the derivative along v that its gradient claims, <gradient, v>. */
export interface LinePoint {
	value: number;
	slope: number;
}

/** The points asked for are multiples of 2^-18 scales, at most a sixteenth of one from x. */
export type Line = (t: number) => Promise<LinePoint>;

export type Verdict = "agrees" | "disagrees" | "unclear";

export interface LineCheck {
	/** Half the length h of the segment, in units of v. */
	step: number;
	/** Mean of the gradient's slope between -h and h. */
	analytic: number;
	/** (f(h) - f(-h)) / 2h */
	numeric: number;
	/** |analytic - numeric| over the larger of both, or over `floor`. */
	error: number;
	/** The error to expect of a correct gradient: quadrature and the rounding of f. */
	uncertainty: number;
	verdict: Verdict;
}

export interface LineOptions {
	/** A power of two near the range of the inputs. */
	scale?: number;
	/** Derivatives below this count as this large: a direction may happen to be almost orthogonal to the gradient. */
	floor?: number;
	/** Called after each step size with the share that is done at most. */
	onProgress?: ((share: number) => void) | undefined;
}

/** Points lie on this grid, in units of `scale`, so that x + t v is exact in float32 for v of +1, -1 and 0 and |x| up to 32 scales. */
const GRID = 2 ** -18;
const STEPS = [2 ** -4, 2 ** -7, 2 ** -10, 2 ** -13];
const PANELS = 16;
const NOISE_POINTS = 8;

/** What float32 arithmetic costs in networks of hundreds of layers: correct gradients of smooth ones stay ten times below. */
const TOLERANCE = 1e-3;
/** The error to expect is an estimate itself: correct gradients of rough networks were seen to miss by up to six of it. */
const MARGIN = 8;
/** A check that would let this error pass decides nothing. */
const USELESS = 0.1;

/** x rounded to the grid on which a line steps without rounding. */
export const onGrid = (x: Float32Array, scale = 1): Float32Array => x.map((value) => Math.round(value / (GRID * scale)) * GRID * scale);

/** Jumps show as an error that half of the panels have hardly any share in; those of a wrong slope all have theirs. */
const UNTOUCHED = 0.2;

/**
 * By the fundamental theorem of calculus f(h) - f(-h) is the integral of the slope, however many kinks lie between: a ReLU or a
 * maximum that switches costs accuracy of the quadrature and nothing else, which the slopes themselves show. The shortest step is not
 * the best one, because of rounding: the step with the smallest error to expect is taken, of those below the last at which f jumps (a
 * TopK that selects others).
 */
export async function checkLine(line: Line, { scale = 1, floor = 0, onProgress }: LineOptions = {}): Promise<LineCheck> {
	const noise = await noiseOf(line, scale);
	let best: (LineCheck & { jumps: boolean }) | undefined;
	for (const [k, step] of STEPS.entries()) {
		const check = await checkSegment(line, { step: step * scale, noise, floor });
		// A longer segment has the jumps of a shorter one.
		if (!best || best.jumps || check.jumps || check.uncertainty < best.uncertainty) best = check;
		if (!best.jumps && MARGIN * best.uncertainty < TOLERANCE) break;
		onProgress?.((k + 1) / STEPS.length);
	}
	const { jumps, ...check } = best as LineCheck & { jumps: boolean };
	return check;
}

interface SegmentParts {
	step: number;
	noise: number;
	floor: number;
}

async function checkSegment(line: Line, { step: h, noise, floor }: SegmentParts): Promise<LineCheck & { jumps: boolean }> {
	const points: LinePoint[] = [];
	for (let i = 0; i <= PANELS; i++) points.push(await line(h * ((2 * i) / PANELS - 1)));
	const numeric = (points[PANELS].value - points[0].value) / (2 * h);
	const slopes = points.map((p) => p.slope);
	const analytic = meanOf(slopes);
	const size = Math.max(Math.abs(analytic), Math.abs(numeric), floor);
	const relative = (difference: number) => (size === 0 ? 0 : Math.abs(difference) / size);
	const uncertainty = relative(quadratureError(slopes)) + relative((Math.SQRT2 * noise) / (2 * h));
	const error = relative(analytic - numeric);
	const verdict = verdictOf(error, uncertainty);
	const jumps = verdict === "disagrees" && hasJumps(points, (2 * h) / PANELS);
	return { step: h, analytic, numeric, error, uncertainty, verdict: jumps ? "unclear" : verdict, jumps };
}

/** By what the trapezoidal rule leaves unexplained in each panel. */
function hasJumps(points: readonly LinePoint[], width: number): boolean {
	const left = points.slice(1).map((p, i) => Math.abs(p.value - points[i].value - (width * (p.slope + points[i].slope)) / 2));
	const median = left.toSorted((a, b) => a - b)[PANELS / 2];
	return PANELS * median < UNTOUCHED * left.reduce((sum, r) => sum + r, 0);
}

function verdictOf(error: number, uncertainty: number): Verdict {
	const allowed = Math.max(TOLERANCE, MARGIN * uncertainty);
	if (!(error <= allowed)) return "disagrees";
	return allowed > USELESS ? "unclear" : "agrees";
}

/** Gregory's quadrature: of third order for smooth slopes, and of equal weights inside, which is best where slopes jump. */
function meanOf(slopes: readonly number[]): number {
	const ends = [3 / 8, 7 / 6, 23 / 24];
	const last = slopes.length - 1;
	return slopes.reduce((sum, slope, i) => sum + slope * (ends[Math.min(i, last - i)] ?? 1), 0) / last;
}

/**
 * Standard deviation of that mean. A slope that jumps by J at an unknown place in a panel misses J / sqrt(12) of it, and shows in
 * three third differences as J, -2J and J; third differences of smooth slopes are as small as the error of the rule.
 */
function quadratureError(slopes: readonly number[]): number {
	const third = slopes.slice(3).map((slope, i) => slope - 3 * slopes[i + 2] + 3 * slopes[i + 1] - slopes[i]);
	return Math.sqrt(third.reduce((sum, d) => sum + d * d, 0) / 6 / 12) / (slopes.length - 1);
}

/**
 * Standard deviation of the rounding of f, from fourth differences over points that are almost one (Moré & Wild, "Estimating
 * computational noise", 2011); at least that of storing f as a float32.
 */
async function noiseOf(line: Line, scale: number): Promise<number> {
	let differences: number[] = [];
	for (let i = 0; i < NOISE_POINTS; i++) differences.push((await line(i * GRID * scale)).value);
	const stored = Math.abs(differences[0]) * 2 ** -24;
	// The variance of a k-th difference of independent errors is (2k)! / (k!)^2 times theirs: 70 for k = 4.
	for (let k = 0; k < 4; k++) differences = differences.slice(1).map((value, i) => value - differences[i]);
	const square = differences.reduce((sum, d) => sum + d * d, 0) / differences.length;
	return Math.max(stored, Math.sqrt(square / 70));
}
