// SPDX-License-Identifier: Apache-2.0
// Form (biome) and the room rules (dependency-cruiser), over the directories that exist.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, run, tool } from './setup.mjs';

const ROOMS = [
  'abi',
  'traces',
  'session',
  'recorder',
  'replayer',
  'analyzer',
  'cli',
  'test',
  'examples',
  'scripts',
];

export function checkForm() {
  return run(tool('biome'), ['check', '--error-on-warnings', '.']) === 0;
}

export function checkRooms() {
  const rooms = ROOMS.filter((room) => existsSync(join(root, room)));
  return run(tool('depcruise'), ['--config', '.dependency-cruiser.cjs', ...rooms]) === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = [checkForm(), checkRooms()];
  process.exit(results.every(Boolean) ? 0 : 1);
}
