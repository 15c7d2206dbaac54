// SPDX-License-Identifier: Apache-2.0
// `npm run demo`: sets up, then `vfiotape demo`.
import { join } from 'node:path';
import { root, run, setUp } from './setup.mjs';

setUp();
process.exit(run(process.execPath, [join(root, 'dist/cli/main.js'), 'demo', '-o', 'build/demo']));
