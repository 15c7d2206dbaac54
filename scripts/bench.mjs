// SPDX-License-Identifier: Apache-2.0
// `npm run bench [-- --json FILE] [-- --only AREA]`: sets up, then measures. Wrong types are told, and stop no measurement.
import { join } from 'node:path';
import { buildStandIn, root, run, setUp } from './setup.mjs';

setUp();
buildStandIn();
const bench = join(root, 'dist/test/bench/main.js');
process.exit(run(process.execPath, ['--enable-source-maps', bench, ...process.argv.slice(2)]));
