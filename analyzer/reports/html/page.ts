// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { html, Markup } from './markup.js';
import { STYLE } from './style.js';

/**
 * One file that needs no other. Its policy lets nothing run, nothing load, and no style but its own: were something
 * of a trace not escaped, it still could do nothing.
 */
export function page(title: string, body: Markup): string {
  const style = createHash('sha256').update(STYLE).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${style}'; base-uri 'none'; form-action 'none'`;
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
</main>
</body>
</html>`.text
}
`;
}
