// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The directory of the package's package.json. Compiled code lives in dist/, code run by tsx beside its source: files
 * that are not compiled (the .proto, the shim) are found from here in both.
 */
export function packageRoot(): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const file = join(directory, 'package.json');
    if (existsSync(file)) {
      const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
      if (typeof content === 'object' && content !== null && 'name' in content && content.name === 'vfiotape') {
        return directory;
      }
    }
    if (directory === dirname(directory)) {
      throw new Error(`no package.json named vfiotape above ${fileURLToPath(import.meta.url)}`);
    }
  }
}
