// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from 'node:path';
import { type Finding, ok, problem, warn } from './finding.js';
import { CAP_SYS_PTRACE, exists, findCommand, hasCapability, type Machine } from './machine.js';

/** Where the dynamic linker of the usual distributions looks. */
const LIBRARY_DIRECTORIES = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
  '/usr/local/lib64',
];

/** @param shim where the shim's library should be, by the machine's own path */
export function examineTools(machine: Machine, shim: string): readonly Finding[] {
  return [builtShim(machine, shim), disassembler(machine), callSites(machine), ptrace(machine)];
}

function builtShim(machine: Machine, shim: string): Finding {
  if (exists(machine, shim)) return ok('shim', `the shim is built: ${shim}`);
  const missing = [
    findCommand(machine, ['cc', 'gcc', 'clang']) === undefined ? 'gcc libc6-dev' : undefined,
    findCommand(machine, ['make']) === undefined ? 'make' : undefined,
  ].filter((name) => name !== undefined);
  return problem(
    'shim',
    `the shim is not built: ${shim} is missing${missing.length > 0 ? ', and so is what builds it' : ''}`,
    ...(missing.length > 0 ? [`apt-get install ${missing.join(' ')}`] : []),
    // A checkout and an installed package both have its sources.
    `make -C ${join(dirname(dirname(shim)), 'recorder/shim')}`,
  );
}

/** Its file's name, where the dynamic linker will find it. */
export function findZydis(machine: Machine): string | undefined {
  for (const directory of LIBRARY_DIRECTORIES) {
    const name = machine.list(directory).find((file) => /^libZydis\.so\.\d+/.test(file));
    if (name !== undefined) return name;
  }
  return undefined;
}

function disassembler(machine: Machine): Finding {
  const name = findZydis(machine);
  if (name !== undefined) return ok('zydis', `${name} is there, for accesses to mapped BARs`);
  return warn(
    'zydis',
    'libZydis is missing: loads and stores to mapped BARs cannot be recorded, system calls can',
    'apt-get install libzydis4.0',
  );
}

function callSites(machine: Machine): Finding {
  const found = findCommand(machine, ['addr2line', 'llvm-symbolizer']);
  return found === undefined
    ? warn(
        'symbols',
        'neither addr2line nor llvm-symbolizer: call sites stay addresses',
        'apt-get install binutils',
      )
    : ok('symbols', `${found} names call sites`);
}

/** Yama, Documentation/admin-guide/LSM/Yama.rst. The recorder is the driver's ancestor, which scope 1 allows. */
function ptrace(machine: Machine): Finding {
  const scope = Number(machine.read('/proc/sys/kernel/yama/ptrace_scope') ?? '0');
  if (scope === 3) {
    return warn(
      'ptrace',
      'ptrace is forbidden until the next boot (yama 3): a recorded driver cannot be looked into, what the shim records is complete all the same',
      '# take kernel.yama.ptrace_scope=3 out of /etc/sysctl.d, then reboot',
    );
  }
  if (scope === 2 && !hasCapability(machine, CAP_SYS_PTRACE)) {
    return warn(
      'ptrace',
      'only root may look into other processes (yama 2): VFIO fds that the shim never saw are not counted where the driver runs as another user',
      'sysctl -w kernel.yama.ptrace_scope=1',
    );
  }
  return ok(
    'ptrace',
    scope === 0
      ? 'no restriction on looking into one’s own processes'
      : `the recorder may look into its own children (yama ${scope})`,
  );
}
