// SPDX-License-Identifier: Apache-2.0
import { overviewJson } from '../session/overview/json.js';
import { takeOverview } from '../session/overview/overview.js';
import { overviewText } from '../session/overview/text.js';
import { ExitStatus } from './exit-status.js';
import { withTrace } from './input.js';
import { describeLosses } from './losses.js';
import { print } from './output.js';
import { SYMBOLS_OPTION, withCallSites } from './symbols.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'info [--symbols DIR]… [--json] TRACE',
  summary: 'What a trace holds, and whether it is complete. TRACE may be - for standard input.',
  operands: { least: 1, most: 1 },
  options: {
    symbols: SYMBOLS_OPTION,
    json: { type: 'boolean', describe: 'one JSON object (docs/info-json.md)' },
  },
  async run({ operands, symbols, json }) {
    await withTrace(operands[0] as string, async (trace) => {
      const overview = takeOverview(trace, (loss) => describeLosses([loss]));
      await withCallSites(trace, symbols, async (callSites) => {
        await print(
          json === true
            ? `${JSON.stringify(overviewJson(trace, overview, callSites), null, 2)}\n`
            : overviewText(trace, overview, callSites),
        );
      });
    });
    return ExitStatus.OK;
  },
});
