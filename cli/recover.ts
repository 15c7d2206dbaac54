// SPDX-License-Identifier: Apache-2.0

import { formatSize } from '../abi/quantity.js';
import { escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import { abandonedSessions } from '../recorder/collector/session-directory.js';
import { recoverSession } from '../recorder/seal/recover.js';
import { ExitStatus } from './exit-status.js';
import { describeLosses } from './losses.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'recover [--json] DIR',
  summary:
    'Seals what a recorder that was killed left behind: its unfinished trace and the events that were still in memory. DIR is its session directory; without DIR, the directories of dead recorders are named.',
  operands: { least: 0, most: 1 },
  options: { json: { type: 'boolean', default: false, describe: 'what was recovered, as JSON' } },
  async run({ operands, json }) {
    const directory = operands[0];
    if (directory === undefined) throw new UserError(`recover: name a session directory; ${found()}`);
    const outcome = await recoverSession(directory);
    if (json) {
      process.stdout.write(`${JSON.stringify(outcome, undefined, 2)}\n`);
      return ExitStatus.OK;
    }
    const { output, events, added, bytes, losses, running } = outcome;
    process.stdout.write(
      `${escapeText(output)}: ${events.toLocaleString('en-US')} events, ${added.toLocaleString('en-US')} of them from memory, ${formatSize(bytes)}\n`,
    );
    if (losses.length > 0) process.stdout.write(`lost: ${describeLosses(losses)}\n`);
    if (running.length > 0) {
      process.stdout.write(`still running, and no longer recorded: pid ${running.join(', ')}\n`);
    }
    return ExitStatus.OK;
  },
});

function found(): string {
  const directories = abandonedSessions();
  return directories.length === 0
    ? 'no dead recorder has left one on this machine'
    : `dead recorders left ${directories.map((path) => escapeText(path)).join(', ')}`;
}
