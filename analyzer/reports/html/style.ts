// SPDX-License-Identifier: Apache-2.0
/** How a report looks: on a wide window and a narrow one, in the light, in the dark and in print. */
import { chartStyles, DARK, FONT, LIGHT } from '../../charts/frame/theme.js';

const LIGHT_PAGE = `--paper:${LIGHT.paper};--panel:#f6f8fa;--ink:${LIGHT.ink};--muted:${LIGHT.muted};--line:#d1d9e0;--link:#0b5cad;
--error:#b3261e;--error-paper:#fdecea;--warning:#8a5a00;--warning-paper:#fff4d6;--note:#3d5a80;--note-paper:#e8f0f8;--pass:#1a7f45;--pass-paper:#e4f5ea;--unknown:#6a4c93;--unknown-paper:#f1ebf8`;
const DARK_PAGE = `--paper:${DARK.paper};--panel:#1c2127;--ink:${DARK.ink};--muted:${DARK.muted};--line:#363d45;--link:#7cb7f5;
--error:#ff8a7a;--error-paper:#3b1c1a;--warning:#f2c14e;--warning-paper:#372a0c;--note:#9dc1ea;--note-paper:#1b2a3a;--pass:#6fd196;--pass-paper:#14301f;--unknown:#c3a6ea;--unknown-paper:#2a2036`;

export const STYLE = `:root{color-scheme:light dark;${LIGHT_PAGE}}
@media screen and (prefers-color-scheme:dark){:root{${DARK_PAGE}}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 ${FONT};overflow-wrap:anywhere}
main{max-width:1060px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:1.25rem;margin:0}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line)}
h3{font-size:1.02rem;margin:1.5rem 0 .4rem}
p{margin:.4rem 0}
a{color:var(--link)}
code,.mono{font-family:ui-monospace,'SF Mono',Consolas,'DejaVu Sans Mono','Liberation Mono',monospace;font-size:.87em}
.muted{color:var(--muted)}
.small{font-size:.87em}
.verdict{display:flex;flex-wrap:wrap;gap:6px 18px;align-items:center;padding:14px 18px;border-radius:8px;border:1px solid;margin:14px 0}
.verdict .word{font-size:1.7rem;font-weight:700;letter-spacing:.04em}
.verdict.pass{color:var(--pass);background:var(--pass-paper)}
.verdict.fail{color:var(--error);background:var(--error-paper)}
.verdict .why{color:var(--ink);flex:1 1 260px}
.figures{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0;padding:0;list-style:none}
.figures li{border:1px solid var(--line);background:var(--panel);border-radius:6px;padding:6px 12px;min-width:84px}
.figures b{display:block;font-size:1.2rem;line-height:1.25}
nav ul{display:flex;flex-wrap:wrap;gap:2px 18px;padding:0;margin:8px 0;list-style:none}
.badge{display:inline-block;min-width:5.4em;padding:0 .55em;border-radius:4px;font-size:.8em;font-weight:600;text-align:center;white-space:nowrap;border:1px solid currentColor}
.error,.fail{color:var(--error);background:var(--error-paper)}
.warning{color:var(--warning);background:var(--warning-paper)}
.note{color:var(--note);background:var(--note-paper)}
.pass{color:var(--pass);background:var(--pass-paper)}
.unknown{color:var(--unknown);background:var(--unknown-paper)}
.quiet{color:var(--muted);background:var(--panel)}
details.card{border:1px solid var(--line);border-radius:8px;margin:8px 0;background:var(--paper)}
details.card>summary{padding:9px 14px;cursor:pointer}
details.card>summary:hover{background:var(--panel)}
details.card[open]>summary{border-bottom:1px solid var(--line)}
details.card>div{padding:6px 16px 12px}
details.rule{border-bottom:1px solid var(--line)}
details.rule>summary{padding:5px 4px;cursor:pointer}
details.rule>summary:hover{background:var(--panel)}
details.rule>div{padding:2px 8px 12px 22px}
details.figures-of>summary{cursor:pointer;color:var(--link)}
.id{font-weight:600;white-space:nowrap;margin:0 .5em}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:.5rem 0;font-size:.93em;max-width:100%}
th,td{text-align:left;vertical-align:top;padding:4px 12px 4px 0;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--muted);overflow-wrap:normal}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(9em,max-content) 1fr;gap:3px 16px;margin:.5rem 0}
dt{color:var(--muted)}
dd{margin:0}
ol.evidence{list-style:none;padding:0;margin:.5rem 0}
ol.evidence>li{border-left:3px solid var(--line);padding:1px 0 5px 12px;margin:6px 0}
ol.evidence .text{display:block}
figure{margin:1.2rem 0 1.8rem}
figcaption{font-weight:600;margin-bottom:.15rem}
figure svg.chart{display:block;width:100%;height:auto;margin:.6rem 0}
figure .marks path{vector-effect:non-scaling-stroke}
figure .wide,figure .narrow{position:relative}
.tools{display:flex;justify-content:flex-end;gap:4px;margin:.3rem 0 -.2rem}
.tools button{font:inherit;font-size:.8em;min-width:2.2em;padding:0 .6em;border:1px solid var(--line);border-radius:4px;background:var(--panel);color:var(--muted);cursor:pointer}
.tools button:hover{color:var(--ink)}
figure .zoomed{cursor:grab;touch-action:pan-y}
figure .dragged{cursor:grabbing;user-select:none}
.readout{position:fixed;z-index:1;max-width:min(440px,90vw);padding:4px 9px;border:1px solid var(--line);border-radius:5px;background:var(--paper);color:var(--ink);font-size:.87em;white-space:pre-line;pointer-events:none;box-shadow:0 2px 8px #0003}
figure .narrow{display:none}
@media screen and (max-width:640px){
main{padding:14px 12px 40px}
dl{grid-template-columns:1fr;gap:0}
dd{margin-bottom:6px}
th,td{overflow-wrap:normal}
figure .wide{display:none}
figure .narrow{display:block}
}
@media print{
@page{margin:14mm}
body{font-size:10pt}
main{max-width:none;padding:0}
nav,.tools,.readout{display:none}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
details.print::details-content{content-visibility:visible;display:block;block-size:auto}
details.figures-of,details.rule{break-inside:auto}
details.figures-of:not([open]){display:none}
figure,ol.evidence>li,tr,.verdict{break-inside:avoid}
h2,h3,figcaption,summary{break-after:avoid}
a{color:inherit;text-decoration:none}
.scroll{overflow:visible}
}
${chartStyles('both')}
`;
