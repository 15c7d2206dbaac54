// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import { formatSize } from '../abi/quantity.js';
import { countText, escapeText } from '../abi/text.js';
import { checkScrubbed } from '../session/scrub/check.js';
import { scrub } from '../session/scrub/scrub.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withTrace, withWholeTrace } from './input.js';
import { newTrace, writing } from './new-trace.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'scrub TRACE -o FILE',
  summary:
    'A trace to give away: without the contents of memory, the addresses of the driver’s process, names of machine, files and arguments, serial numbers. It can still be checked, measured, compared and replayed (docs/scrub.md).',
  operands: { least: 1, most: 1 },
  options: {
    output: { alias: 'o', type: 'string', demandOption: true, describe: 'the new trace' },
  },
  examples: [['vfiotape scrub t.vtape -o public.vtape', 'what to attach to a public bug report']],
  async run({ operands, output }) {
    const [path = ''] = operands;
    const file = newTrace('scrub', path, output);
    return await withWholeTrace(path, async (trace) => {
      const report = await writing(scrub(trace, file));
      reportDamages(trace);
      const left = await withTrace(file, (scrubbed) => checkScrubbed(scrubbed, report));
      if (left.length > 0) {
        rmSync(file);
        throw new Error(
          `scrub left something behind, and so nothing was written: ${left.slice(0, 8).join(', ')}`,
        );
      }
      const lines = [
        `${escapeText(output)}: ${countText(report.events, 'event')}, ${formatSize(report.bytes)}; left out:`,
        ...[...report.withheld].map(
          ([what, { count: times, bytes }]) =>
            `  ${what}: ${times}${bytes === 0 ? '' : `, ${formatSize(bytes)}`}`,
        ),
        '  addresses of the process: all but their low 30 bits',
        'looked for in the new trace, and not found: all of these',
        'still there: configuration space, registers and what was stored in BARs, IOVAs, times, file names of programs and libraries',
      ];
      for (const line of lines) process.stderr.write(`vfiotape: ${line}\n`);
      return ExitStatus.OK;
    });
  },
});
