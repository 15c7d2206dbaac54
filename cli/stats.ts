// SPDX-License-Identifier: Apache-2.0
import { statistics } from '../analyzer/performance/statistics.js';
import { statisticsText } from '../analyzer/performance/text.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withWholeTrace } from './input.js';
import { print } from './output.js';
import { SYMBOLS_OPTION, withCallSites } from './symbols.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'stats [--symbols DIR]… [--json] TRACE',
  summary:
    'Where the time goes: latency and rate of every kind of call and access, by object, register, call site, thread and phase; interrupts; queues from doorbell to completion; what the recording itself took. TRACE may be - for standard input.',
  operands: { least: 1, most: 1 },
  options: {
    symbols: SYMBOLS_OPTION,
    json: { type: 'boolean', describe: 'one JSON object (docs/stats-json.md)' },
  },
  examples: [
    ['vfiotape stats t.vtape', 'tables, what took longest first'],
    [`vfiotape stats --json t.vtape | jq '.queues[]'`, 'for a program'],
  ],
  async run({ operands, symbols, json }) {
    await withWholeTrace(operands[0] as string, async (trace) => {
      await withCallSites(trace, symbols, async (callSites) => {
        const found = statistics(trace, callSites);
        await print(json === true ? `${JSON.stringify(found, null, 2)}\n` : statisticsText(found));
      });
      reportDamages(trace);
    });
    return ExitStatus.OK;
  },
});
