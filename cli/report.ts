// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../abi/user-error.js';
import type { Chart, ReportSection } from '../analyzer/charts/chart.js';
import { WIDTHS } from '../analyzer/charts/frame/canvas.js';
import { pngRenderer } from '../analyzer/charts/frame/png.js';
import { renderSvg } from '../analyzer/charts/frame/svg.js';
import { performanceSection } from '../analyzer/charts/performance/section.js';
import { SessionCharts } from '../analyzer/charts/session.js';
import { renderHtml } from '../analyzer/reports/formats/html.js';
import { sectionOf } from '../analyzer/reports/html/section.js';
import { COMPLIANCE_OPTIONS, judge, refuseOverwriting } from './compliance.js';
import { ExitStatus } from './exit-status.js';
import { print, writePrivate } from './output.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'report [OPTIONS] TRACE -o report.html',
  summary:
    'What check says of a trace, with charts of the session, as one HTML file that needs no other. The exit status is that of check. TRACE may be - for standard input.',
  operands: { least: 1, most: 1 },
  options: {
    output: { alias: 'o', type: 'string', describe: 'the file; standard output unless given' },
    charts: { type: 'string', describe: 'a directory for the charts, each as SVG and PNG' },
    ...COMPLIANCE_OPTIONS,
  },
  examples: [
    ['vfiotape report t.vtape -o report.html', 'for a browser, or to be printed'],
    ['vfiotape report t.vtape -o report.html --charts charts', 'the charts for slides, too'],
  ],
  async run({ operands, output, charts, ...compliance }) {
    if (output === undefined && process.stdout.isTTY)
      throw new UserError('report: HTML is nothing for a terminal; give -o report.html');
    refuseOverwriting(output, [...operands, compliance.waivers, compliance.baseline]);
    let sections: readonly ReportSection[] = [];
    let session: SessionCharts | undefined;
    const report = await judge(operands, compliance, {
      alongside(story) {
        session = new SessionCharts(story);
        return session.watches;
      },
      afterwards(trace) {
        sections = [...(session?.sections() ?? []), ...performanceSection(trace)];
      },
    });
    const text = renderHtml(report, [sections.map(sectionOf)]);
    if (output === undefined) await print(text);
    else writePrivate(output, text);
    if (charts !== undefined)
      await writeCharts(
        charts,
        sections.flatMap((section) => section.charts),
      );
    return report.verdict === 'pass' ? ExitStatus.OK : ExitStatus.FINDINGS;
  },
});

async function writeCharts(directory: string, charts: readonly Chart[]): Promise<void> {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new UserError(`--charts ${directory} can't be made: ${(error as Error).message}`);
  }
  const png = await pngRenderer();
  for (const chart of charts) {
    writePrivate(join(directory, `${chart.id}.svg`), renderSvg(chart, WIDTHS.wide, 'file'));
    if (png !== undefined) writePrivate(join(directory, `${chart.id}.png`), png(chart));
  }
  if (png === undefined)
    process.stderr.write(
      'vfiotape: the charts were written as SVG only: PNG needs the package @resvg/resvg-js (npm install @resvg/resvg-js)\n',
    );
}
