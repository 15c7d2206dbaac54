// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { html, Markup } from './markup.js';
import { SCRIPT } from './script.js';
import { STYLE } from './style.js';

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/**
 * One file that needs no other. Its policy lets nothing load, no style but its own, and nothing run but, where there
 * are charts, the script that zooms them: were something of a trace not escaped, it still could do nothing.
 */
export function page(title: string, body: Markup, { charts }: { readonly charts: boolean }): string {
  const script = charts ? ` script-src ${hashOf(SCRIPT)};` : '';
  const policy = `default-src 'none'; style-src ${hashOf(STYLE)};${script} base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
${
  html`<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${Markup.trusted(STYLE)}</style>
</head>
<body>
<main>
${body}
</main>${charts ? html`\n<script>${Markup.trusted(SCRIPT)}</script>` : undefined}
</body>
</html>`.text
}
`;
}
