// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Package {
  readonly directory: string;
  readonly version: string;
}

let found: Package | undefined;

function find(): Package {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const file = join(directory, 'package.json');
    if (existsSync(file)) {
      const manifest = JSON.parse(readFileSync(file, 'utf8')) as {
        readonly name?: string;
        readonly version: string;
      };
      if (manifest.name === 'vfiotape') return { directory, version: manifest.version };
    }
    if (directory === dirname(directory)) {
      throw new Error(`no package.json named vfiotape above ${fileURLToPath(import.meta.url)}`);
    }
  }
}

/**
 * The directory of the package's package.json. Compiled code lives in dist/, code run by tsx beside its source: files
 * that are not compiled (the .proto, the shim) are found from here in both.
 */
export function packageRoot(): string {
  found ??= find();
  return found.directory;
}

export function packageVersion(): string {
  found ??= find();
  return found.version;
}
