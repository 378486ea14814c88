/** @file The nearest point of a hyperplane inside the pixel box: what FAB projects on. */
import type { Norm } from "./threat-model.ts";

/** Under L2 a pixel whose weight is below this does not move, as in AutoAttack. */
const NEGLIGIBLE = 1e-8;

/**
 * The smallest change d `[D]` (in `norm`) that brings `point` `[D]` of [0, 1]^D to the hyperplane w . x = offset without leaving
 * [0, 1]^D; the change that comes closest if none reaches it.
 *
 * All pixels move towards the plane, each until its own edge of the box: |d_i| = min(t speed_i, room_i) with speed 1 (L-infinity) or
 * |w_i| (L2). The way made, sum_i |w_i| |d_i|, is concave and piecewise linear in t, so Newton's method from t = 0 never goes
 * too far and ends on the plane after finitely many steps.
 */
export function towardsPlane(point: Float32Array, w: Float32Array, offset: number, norm: Norm): Float32Array {
	const gap = w.reduce((sum, v, i) => sum + v * point[i], -offset);
	const direction = w.map((v) => -Math.sign(v) * (gap >= 0 ? 1 : -1));
	const weight = w.map(Math.abs);
	const speed = norm === "linf" ? weight.map(Math.sign) : weight.map((v) => (v < NEGLIGIBLE ? 0 : v));
	const room = direction.map((d, i) => (d < 0 ? point[i] : 1 - point[i]));
	const shift = (t: number, i: number) => Math.min(t * speed[i], room[i]);

	let t = 0;
	for (let last = false; !last; ) {
		let missing = Math.abs(gap);
		let slope = 0;
		let edge = Number.POSITIVE_INFINITY;
		for (let i = 0; i < w.length; i++) {
			missing -= weight[i] * shift(t, i);
			if (t * speed[i] >= room[i]) continue;
			slope += weight[i] * speed[i];
			edge = Math.min(edge, room[i] / speed[i]);
		}
		const next = slope > 0 ? t + missing / slope : t;
		last = next <= Math.max(t, edge);
		t = Math.max(t, next);
	}
	return direction.map((d, i) => d * shift(t, i));
}
