// SPDX-License-Identifier: Apache-2.0
/** `npm run bench [-- --json FILE] [-- --only AREA]`: measures, prints a table. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { area as check } from './check.js';
import { area as cli } from './cli.js';
import { area as dma } from './dma.js';
import { area as exports } from './export.js';
import { area as ffi } from './ffi.js';
import { type Area, type Figure, reaches } from './harness.js';
import { area as mmio } from './mmio.js';
import { area as query } from './query.js';
import { area as record } from './record.js';
import { area as replay } from './replay.js';
import { area as sim } from './sim.js';
import { area as stats } from './stats.js';
import { area as trace } from './trace.js';

/** In the order of the table. */
const AREAS: readonly Area[] = [
  record,
  mmio,
  dma,
  trace,
  sim,
  check,
  stats,
  exports,
  query,
  replay,
  ffi,
  cli,
];

const { values } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string' } } });
const chosen = AREAS.filter((area) => values.only === undefined || area.name === values.only);
if (chosen.length === 0) {
  process.stderr.write(
    `bench: no area ${values.only}; there are ${AREAS.map((area) => area.name).join(', ')}\n`,
  );
  process.exit(2);
}
const figures: Figure[] = [];
for (const area of chosen) {
  await area.run((figure) => {
    figures.push(figure);
    const reached = reaches(figure);
    const verdict = figure.goal === '' ? '' : `${figure.goal}${reached === false ? '  MISSED' : ''}`;
    process.stdout.write(
      `${figure.name.padEnd(44)} ${figure.value.toPrecision(4).padStart(10)} ${figure.unit.padEnd(20)} ${verdict}\n`,
    );
  });
}
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
}
