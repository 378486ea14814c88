/** @file Names by content (design D9), for experiments. */
export { canonicalJson, digest, sha256 } from "../hub/digest.ts";
