// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../abi/user-error.js';
import { dump } from '../session/describe/dump.js';
import { compileFilter } from '../session/filter/compile.js';
import { FILTER_HELP } from '../session/filter/help.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withTrace } from './input.js';
import { print } from './output.js';
import { SYMBOLS_OPTION, withCallSites } from './symbols.js';
import { defineVerb } from './verb.js';

function eventNumber(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
    throw new UserError(`dump: --${name} needs the number of an event, from 0`);
  }
  return value;
}

export const verb = defineVerb({
  usage: 'dump [--filter EXPR] [--from N] [--to N] [--symbols DIR]… [--json] TRACE',
  summary: 'Every event, decoded, one line each. TRACE may be - for standard input.',
  operands: { least: 1, most: 1 },
  options: {
    filter: { type: 'string', describe: 'only the events that fit this expression' },
    from: { type: 'number', describe: 'first event' },
    to: { type: 'number', describe: 'last event' },
    symbols: SYMBOLS_OPTION,
    json: { type: 'boolean', describe: 'one JSON object a line (docs/dump-json.md)' },
  },
  examples: [
    ["vfiotape dump t.vtape --filter 'kind=ioctl & result<0'", 'the ioctls that failed'],
    ["vfiotape dump t.vtape --filter 'region=config & register=Command'", 'who touched the Command register'],
    ['vfiotape dump t.vtape --from 100 --to 120', 'a window; what came before is still decoded'],
  ],
  epilogue: FILTER_HELP,
  async run({ operands, filter, from, to, symbols, json }) {
    const first = eventNumber('from', from) ?? 0;
    const last = eventNumber('to', to);
    const compiled = filter === undefined ? undefined : compileFilter(filter);
    await withTrace(operands[0] as string, async (trace) => {
      const end = last === undefined ? Number.MAX_SAFE_INTEGER : last + 1;
      await withCallSites(trace, symbols, async (callSites) => {
        const options = { filter: compiled, from: first, to: end, json: json === true, callSites };
        for (const text of dump(trace, options)) await print(text);
      });
      reportDamages(trace);
    });
    return ExitStatus.OK;
  },
});
