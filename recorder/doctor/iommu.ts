// SPDX-License-Identifier: Apache-2.0
import { countText } from '../../abi/text.js';
import { type Finding, ok, problem, warn } from './finding.js';
import { exists, type Machine } from './machine.js';
import { onHost } from './system.js';

/** Is there an IOMMU that protects, and if not, whose fault is it: the command line's, the firmware's, the machine's? */
export function examineIommu(machine: Machine): readonly Finding[] {
  const units = machine.list('/sys/class/iommu');
  const groups = machine.list('/sys/kernel/iommu_groups');
  if (units.length > 0 && groups.length > 0) {
    return [
      ok(
        'iommu',
        `${countText(units.length, 'IOMMU')} on (${units.slice(0, 3).join(', ')}${units.length > 3 ? ', …' : ''}), ${countText(groups.length, 'group')}`,
      ),
      ...interruptRemapping(machine),
    ];
  }
  if (machine.read('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode') === 'Y') {
    return [
      warn(
        'iommu',
        'no IOMMU; VFIO is in no-iommu mode: it records, but the device may write anywhere in memory (the kernel is tainted)',
      ),
    ];
  }
  return [whyNone(machine, units)];
}

function whyNone(machine: Machine, units: readonly string[]): Finding {
  const commandLine = machine.read('/proc/cmdline') ?? '';
  const off = /\b(iommu|intel_iommu|amd_iommu)=off\b/.exec(commandLine)?.[0];
  if (off !== undefined) {
    return problem(
      'iommu',
      `the IOMMU is switched off on the kernel command line (${off})`,
      ...onHost(machine, ...editCommandLine(`s/${off}//`)),
    );
  }
  const cpu = machine.read('/proc/cpuinfo') ?? '';
  const intel = cpu.includes('GenuineIntel');
  const amd = cpu.includes('AuthenticAMD');
  // The firmware announces VT-d in DMAR and AMD-Vi in IVRS; the tables are root's to read, but anyone may list them.
  const announced = ['DMAR', 'IVRS', 'VIOT'].some((table) =>
    exists(machine, `/sys/firmware/acpi/tables/${table}`),
  );
  if (/^flags\s*:.*\bhypervisor\b/m.test(cpu) && !announced) {
    return problem(
      'iommu',
      'this is a virtual machine without an IOMMU; its host must give it one',
      '# QEMU: -M q35,kernel-irqchip=split -device intel-iommu,intremap=on (and intel_iommu=on in the guest)',
      '# libvirt: <iommu model="intel"><driver intremap="on"/></iommu>',
      ...noIommuMode(machine),
    );
  }
  if (intel && announced && !/\bintel_iommu=(on|sm_on)\b/.test(commandLine)) {
    return problem(
      'iommu',
      'VT-d is there but not switched on',
      ...onHost(machine, ...editCommandLine('s/"$/ intel_iommu=on"/')),
    );
  }
  if (units.length > 0) {
    return problem(
      'iommu',
      'an IOMMU is there, but no device is in a group: the kernel found nothing behind it',
      'dmesg | grep -iE "iommu|dmar|amd-vi"',
    );
  }
  const name = intel ? 'VT-d' : amd ? 'IOMMU (AMD-Vi)' : 'IOMMU';
  return problem(
    'iommu',
    `the firmware announces no IOMMU (no ACPI ${intel ? 'DMAR' : amd ? 'IVRS' : 'DMAR or IVRS'} table)`,
    `# switch ${name} on in the firmware set-up; where there is none, the machine has none:`,
    ...noIommuMode(machine),
  );
}

function noIommuMode(machine: Machine): readonly string[] {
  return onHost(
    machine,
    '# or, without any protection of memory, where the kernel has CONFIG_VFIO_NOIOMMU:',
    'modprobe vfio enable_unsafe_noiommu_mode=1',
  );
}

function editCommandLine(edit: string): readonly string[] {
  return [
    `sed -i '/^GRUB_CMDLINE_LINUX=/${edit}' /etc/default/grub && update-grub && reboot`,
    '# (Fedora: grubby; systemd-boot: /etc/kernel/cmdline)',
  ];
}

/** VFIO_IOMMU type 1 refuses an IOMMU that cannot remap interrupts (vfio_iommu_type1_attach_group, EPERM). */
function interruptRemapping(machine: Machine): readonly Finding[] {
  const parameter = machine.read('/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts');
  return parameter === 'Y'
    ? [warn('interrupts', 'allow_unsafe_interrupts is set: a device may forge interrupts')]
    : [];
}
