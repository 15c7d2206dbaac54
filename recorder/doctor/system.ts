// SPDX-License-Identifier: Apache-2.0
import { type Finding, ok, problem, warn } from './finding.js';
import { exists, type Machine } from './machine.js';

/** VFIO came with Linux 3.6; 4.x of today's distributions are the oldest that anyone tried. */
const FIRST_WITH_VFIO = [3, 6] as const;
const FIRST_WITH_IOMMUFD_CDEV = [6, 6] as const;

export function isContainer(machine: Machine): boolean {
  return (
    exists(machine, '/.dockerenv') ||
    exists(machine, '/run/.containerenv') ||
    exists(machine, '/run/systemd/container') ||
    /\/(docker|lxc|kubepods|libpod)/.test(machine.read('/proc/1/cgroup') ?? '')
  );
}

/** In a container the remedies that touch the kernel belong on its host. */
export function onHost(machine: Machine, ...commands: readonly string[]): readonly string[] {
  return isContainer(machine) ? ['# on the host, not in this container:', ...commands] : commands;
}

export function examineSystem(machine: Machine): readonly Finding[] {
  return [kernel(machine), ...container(machine), ...confinement(machine), clock(machine)];
}

function kernel(machine: Machine): Finding {
  const release = machine.read('/proc/sys/kernel/osrelease') ?? 'unknown';
  const version = /^(\d+)\.(\d+)/.exec(release)?.slice(1).map(Number) ?? [0, 0];
  if (older(version, FIRST_WITH_VFIO)) {
    return problem('kernel', `Linux ${release} has no VFIO: it came with 3.6`, '# install a newer kernel');
  }
  const modern = older(version, FIRST_WITH_IOMMUFD_CDEV)
    ? 'groups and containers'
    : 'groups, containers and iommufd';
  return ok('kernel', `Linux ${release}: VFIO with ${modern}, as far as it was configured`);
}

function older(version: readonly number[], than: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version;
  return major < than[0] || (major === than[0] && minor < than[1]);
}

function container(machine: Machine): readonly Finding[] {
  if (!isContainer(machine)) return [];
  if (exists(machine, '/dev/vfio')) return [ok('container', 'in a container that was given /dev/vfio')];
  return [
    warn(
      'container',
      'in a container that has no /dev/vfio: a device must be handed in when it is started',
      '# on the host: docker run --device /dev/vfio/vfio --device /dev/vfio/GROUP --ulimit memlock=-1 --shm-size=1g …',
    ),
  ];
}

/** A driver under one of these may be refused what it is allowed elsewhere; the recorder changes none of it. */
function confinement(machine: Machine): readonly Finding[] {
  const findings: Finding[] = [];
  const status = machine.read('/proc/self/status') ?? '';
  if (/^NoNewPrivs:\s*1$/m.test(status)) {
    findings.push(
      ok('no-new-privileges', 'no_new_privs is set: a setuid driver will not get its privileges'),
    );
  }
  if (/^Seccomp:\s*2$/m.test(status)) {
    findings.push(
      ok(
        'seccomp',
        'a seccomp filter is in force (the usual one of containers lets VFIO through); it applies to the driver too',
      ),
    );
  }
  const profile = machine.read('/proc/self/attr/apparmor/current') ?? machine.read('/proc/self/attr/current');
  if (profile?.endsWith('(enforce)') === true) {
    findings.push(
      warn(
        'apparmor',
        `AppArmor confines this shell (${profile}); a profile of the driver may forbid the shim's files under /dev/shm`,
        `aa-complain ${profile.split(' ')[0]}`,
      ),
    );
  }
  return findings;
}

function clock(machine: Machine): Finding {
  const flags = ` ${/^flags\s*:(.*)$/m.exec(machine.read('/proc/cpuinfo') ?? '')?.[1] ?? ''} `;
  const source = machine.read('/sys/devices/system/clocksource/clocksource0/current_clocksource');
  if (flags.includes(' constant_tsc ') && flags.includes(' nonstop_tsc ') && source === 'tsc') {
    return ok('clock', 'invariant TSC, and the kernel trusts it: a time stamp costs about 11 ns');
  }
  return warn(
    'clock',
    `the kernel keeps time by ${source ?? 'an unknown clock'}${flags.includes(' nonstop_tsc ') ? '' : ' and the CPU promises no invariant TSC'}: time stamps may cost more and fit less well across CPUs`,
  );
}
