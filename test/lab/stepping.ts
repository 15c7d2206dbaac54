// SPDX-License-Identifier: Apache-2.0
/**
 * Instructions that no trampoline holds, stepped with a page opened by a protection key (recorder/shim/mmio/step.c). The
 * emulated processor has protection keys, whatever the machine's has.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { buildWithRig } from '../../recorder/shim/mmio/test/build.js';
import { assembly } from '../../recorder/shim/mmio/test/forms.js';
import { guestRoot } from './guest-script.js';

export class Stepping {
  private readonly program: string;

  constructor(directory: string) {
    const source = join(directory, 'forms.S');
    writeFileSync(source, assembly());
    this.program = buildWithRig('forms', [], source);
  }

  /** What the guest runs: in two threads, each form against its plain execution. */
  get script(): string {
    return `job stepping 300 ${guestRoot}/${relative(packageRoot(), this.program)} 1 2 stepped\n`;
  }

  /** What went wrong; empty when nothing did. */
  trouble(out: string): string {
    try {
      const text = readFileSync(join(out, 'stepping.out'), 'utf8');
      const status = readFileSync(join(out, 'stepping.status'), 'utf8').trim();
      const [, keys = '0'] = / key (\d+)/.exec(text) ?? [];
      return status === '0' && Number(keys) > 0 ? '' : `status ${status}\n${text}`;
    } catch (error) {
      return String(error);
    }
  }

  remove(): void {
    rmSync(this.program, { force: true });
  }
}
