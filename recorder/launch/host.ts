// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { cpus, hostname, machine, release } from 'node:os';
import type { HostDescription } from '../../traces/model.js';

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The machine that a recording is made on. */
export function describeHost(): HostDescription {
  const processors = cpus();
  return {
    kernel: release(),
    machine: machine(),
    cpu: processors[0]?.model ?? '',
    cpus: processors.length,
    hostname: hostname(),
    os: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text('/etc/os-release'))?.[1] ?? '',
    kernelCommandLine: text('/proc/cmdline').trim(),
  };
}
