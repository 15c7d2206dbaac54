// SPDX-License-Identifier: Apache-2.0
// `npm run demo`: sets everything up, then lets test/lab/demo.ts record a real driver in an emulated machine.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { giveUp, root, run, say, setUp } from './setup.mjs';

setUp();
if (run('test/lab/setup', []) !== 0) {
  giveUp('the demo needs QEMU and a kernel with VFIO; the lines above say how to get them');
}
const demo = join(root, 'dist/test/lab/demo.js');
if (!existsSync(demo)) giveUp('the demo was not compiled; npm run build says why');
say('booting an emulated machine: a minute or two');
process.exit(run(process.execPath, ['--enable-source-maps', demo]));
