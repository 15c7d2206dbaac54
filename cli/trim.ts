// SPDX-License-Identifier: Apache-2.0
import { formatSize } from '../abi/quantity.js';
import { countText, escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import { trim } from '../session/trim/trim.js';
import { countEvents, eventsText } from './events.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withWholeTrace } from './input.js';
import { newTrace, writing } from './new-trace.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'trim TRACE [--from N] [--to N] -o FILE',
  summary:
    'A window of a trace, with the set-up that it needs: what made the objects that are open then, memory that is mapped, configuration and registers, interrupts. It can be replayed and checked.',
  operands: { least: 1, most: 1 },
  options: {
    from: { type: 'number', describe: 'the first event, as dump numbers them; 0 unless given' },
    to: { type: 'number', describe: 'the last one; that of the trace unless given' },
    output: { alias: 'o', type: 'string', demandOption: true, describe: 'the new trace' },
  },
  examples: [['vfiotape trim t.vtape --from 120000 --to 121000 -o bug.vtape', 'what to send with a report']],
  async run({ operands, from = 0, to, output }) {
    const [path = ''] = operands;
    for (const [name, value] of [
      ['from', from],
      ['to', to],
    ] as const)
      if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
        throw new UserError(`trim: --${name} needs the number of an event, from 0`);
    if (from === 0 && to === undefined)
      throw new UserError('trim: say which events: --from N, --to N, or both');
    if (to !== undefined && to < from) throw new UserError(`trim: --to ${to} is before --from ${from}`);
    const file = newTrace('trim', path, output);
    return await withWholeTrace(path, async (trace) => {
      const events = countEvents(trace);
      if (from >= events)
        throw new UserError(`trim: --from ${from}: ${escapeText(trace.name)} has ${eventsText(events)}`);
      const end = Math.min(events, (to ?? events) + 1);
      const report = await writing(trim(trace, file, from, end));
      reportDamages(trace);
      process.stderr.write(
        `vfiotape: ${escapeText(output)}: ${countText(report.window, 'event')} from ${report.setUp} on, after ${countText(report.setUp, 'event')} of set-up, ${formatSize(report.bytes)}\n`,
      );
      return ExitStatus.OK;
    });
  },
});
