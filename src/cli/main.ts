#!/usr/bin/env node
/** @file Entry of the command line. */
import { main } from "./program.ts";

// A reader such as `head` that has seen enough is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit();
	throw error;
});
process.exitCode = await main(process.argv.slice(2));
