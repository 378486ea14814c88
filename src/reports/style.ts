/** @file The look of the report: system fonts, light and dark, readable in print. */

export const STYLE = `
:root {
	color-scheme: light dark;
	--paper: #fbfaf6; --card: #ffffff; --ink: #22211e; --muted: #6b675e; --rule: #d9d4c7; --gold: #a9781a; --tint: #f3eddd;
	--clean: #9aa39b; --adversarial: #b4493b; --right: #2f7d4f; --wrong: #a8483c;
	--series-1: #c5921f; --series-2: #4a78a6; --series-3: #6d9a5b; --series-4: #8a63a8; --series-5: #3c9a94; --series-6: #c46f93;
	--series-7: #8c7a4f; --series-8: #5d6a86;
	--text: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif;
	--plain: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
	:root {
		--paper: #17171a; --card: #1f1f23; --ink: #e9e6de; --muted: #a19c90; --rule: #3b3a3d; --gold: #d9ae55; --tint: #26241e;
		--clean: #7f8a81; --adversarial: #d06a5b; --right: #6cc08b; --wrong: #e08a7d;
		--series-1: #d9ae55; --series-2: #6d9fd0; --series-3: #8fbd7c; --series-4: #ad8aca; --series-5: #5dbcb5; --series-6: #dd92b2;
		--series-7: #b3a06d; --series-8: #8794b3;
	}
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.6 var(--text); }
main { max-width: 1080px; margin: 0 auto; padding: 56px 28px 96px; }
header { border-bottom: 3px solid var(--gold); padding-bottom: 20px; margin-bottom: 32px; }
.kind { font: 600 12px/1 var(--plain); letter-spacing: .14em; text-transform: uppercase; color: var(--gold); margin: 0 0 14px; }
h1 { font-size: 42px; line-height: 1.1; margin: 0 0 10px; font-weight: 600; letter-spacing: -.01em; }
h2 { font-size: 25px; line-height: 1.25; margin: 64px 0 10px; font-weight: 600; }
h3 { font: 600 15px/1.4 var(--plain); margin: 32px 0 12px; }
p, ul { max-width: 46em; margin: 0 0 14px; }
.facts { font: 14px/1.6 var(--plain); color: var(--muted); margin: 0; }
.found p { font-size: 19px; line-height: 1.55; }
aside { background: var(--tint); border-left: 3px solid var(--gold); padding: 18px 24px 8px; margin: 28px 0 0; }
aside h2 { margin: 0 0 8px; font-size: 18px; }
aside p { font-size: 16px; line-height: 1.5; max-width: 56em; }
figure { margin: 18px 0 0; }
figure > svg { display: block; width: 100%; max-width: 800px; height: auto; font-family: var(--plain); }
figcaption, .note { font: 14px/1.5 var(--plain); color: var(--muted); max-width: 54em; margin-top: 10px; }
.rows { display: grid; gap: 22px; }
.row { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: 14px 16px 16px; }
.row > p { font: 13px/1.4 var(--plain); margin: 0 0 10px; max-width: none; color: var(--muted); }
.row > p b { color: var(--ink); font-weight: 600; }
.cells { display: grid; grid-template-columns: repeat(auto-fit, minmax(124px, 1fr)); gap: 14px; }
.cell { margin: 0; max-width: 240px; }
.cell h4 { font: 600 12px/1.3 var(--plain); margin: 0 0 6px; min-height: 2.6em; display: flex; align-items: flex-end; }
.cell img { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 3px; background: var(--rule); }
.cell ol { list-style: none; margin: 7px 0 0; padding: 0; font: 12px/1.5 var(--plain); font-variant-numeric: tabular-nums; }
.cell li { display: flex; gap: 6px; }
.cell li span:first-child { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.right { color: var(--right); font-weight: 600; }
.below { opacity: .62; }
.table { overflow-x: auto; margin: 18px 0 0; }
table { border-collapse: collapse; font: 13px/1.45 var(--plain); font-variant-numeric: tabular-nums; min-width: 100%; }
caption { text-align: left; font-weight: 600; font-size: 15px; padding-bottom: 8px; }
th, td { text-align: left; padding: 6px 16px 6px 0; white-space: nowrap; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { font-weight: 600; color: var(--muted); border-bottom: 1px solid var(--ink); }
td small { display: block; font-size: 11px; color: var(--muted); }
details { margin-top: 12px; font: 14px/1.5 var(--plain); }
summary { cursor: pointer; font-weight: 600; }
pre { font: 12px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; background: var(--card); border: 1px solid var(--rule);
	border-radius: 6px; padding: 14px 16px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 72px; border-top: 1px solid var(--rule); padding-top: 14px; font: 13px/1.5 var(--plain); color: var(--muted); }
@media print { main { max-width: none; padding: 0; } .row, figure { break-inside: avoid; } }
`;
