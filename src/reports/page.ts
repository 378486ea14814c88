/** @file The frame of every page: one self-contained HTML document, no scripts, no network. */
import { escapeHtml } from "./format.ts";
import { STYLE } from "./style.ts";

/** A whole HTML document; `body` is HTML. */
export const page = ({ title, body, footer }: { title: string; body: string; footer: string }): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}: Kintsugi report</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
<footer>${escapeHtml(footer)}</footer>
</main>
</body>
</html>
`;
