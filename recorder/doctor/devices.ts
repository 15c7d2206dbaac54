// SPDX-License-Identifier: Apache-2.0
import { countText } from '../../abi/text.js';
import { type Finding, ok, problem, warn } from './finding.js';
import { exists, type Machine, mayOpen } from './machine.js';
import { onHost } from './system.js';

export interface Device {
  readonly address: string;
  /** Vendor and device id, `1b36:0010`. */
  readonly id: string;
  readonly kind: string;
  readonly driver: string | undefined;
  /** Given to a driver in user space: bound to vfio-pci or one of its variants. */
  readonly forUser: boolean;
  /** The name under /dev/vfio/devices, where the kernel has cdevs. */
  readonly cdev: string | undefined;
  /** Why taking the device away from the kernel would hurt now. */
  readonly inUse: string | undefined;
}

export interface Group {
  readonly number: string;
  readonly devices: readonly Device[];
  readonly noIommu: boolean;
  /** Devices whose kernel driver keeps the whole group from user space. */
  readonly blockers: readonly Device[];
}

/** PCI class codes (PCI Code and ID Assignment, §1) that are commonly driven from user space. */
const KINDS: Readonly<Record<string, string>> = {
  '0100': 'SCSI',
  '0106': 'SATA',
  '0108': 'NVMe',
  '0200': 'network',
  '0207': 'InfiniBand',
  '0280': 'network',
  '0300': 'display',
  '0302': '3D',
  '0403': 'audio',
  '0600': 'host bridge',
  '0601': 'ISA bridge',
  '0604': 'PCI bridge',
  '0880': 'system device',
  '0b40': 'coprocessor',
  '0c03': 'USB',
  '0c05': 'SMBus',
  '1200': 'accelerator',
};
const CANDIDATES = new Set(['SCSI', 'NVMe', 'network', 'InfiniBand', '3D', 'coprocessor', 'accelerator']);
const MAX_CANDIDATES = 8;

/** Kernel drivers that leave DMA alone and so don't spoil a group: those with driver_managed_dma. */
const HARMLESS = new Set(['pci-stub', 'pcieport']);

export function readGroups(machine: Machine): readonly Group[] {
  return machine.list('/sys/kernel/iommu_groups').map((number) => {
    const base = `/sys/kernel/iommu_groups/${number}`;
    const devices = machine.list(`${base}/devices`).map((address) => readDevice(machine, address));
    return {
      number,
      devices,
      noIommu: machine.read(`${base}/name`) === 'vfio-noiommu',
      blockers: devices.filter(
        ({ driver, forUser }) => driver !== undefined && !forUser && !HARMLESS.has(driver),
      ),
    };
  });
}

function readDevice(machine: Machine, address: string): Device {
  const base = `/sys/bus/pci/devices/${address}`;
  const hex = (name: string): string => (machine.read(`${base}/${name}`) ?? '').replace(/^0x/, '');
  const driver = machine.link(`${base}/driver`);
  const cdev = machine.list(`${base}/vfio-dev`)[0];
  return {
    address,
    id: `${hex('vendor')}:${hex('device')}`,
    kind: KINDS[hex('class').slice(0, 4)] ?? `class ${hex('class')}`,
    driver,
    forUser: driver !== undefined && (cdev !== undefined || /^vfio-pci$|[-_]vfio[-_]pci$/.test(driver)),
    cdev,
    inUse: use(machine, base),
  };
}

function use(machine: Machine, base: string): string | undefined {
  for (const name of machine.list(`${base}/net`)) {
    if (machine.read(`${base}/net/${name}/operstate`) === 'up') return `network interface ${name} is up`;
  }
  const mounts = (machine.read('/proc/mounts') ?? '').split('\n');
  for (const controller of machine.list(`${base}/nvme`)) {
    const mount = mounts.find((line) => line.startsWith(`/dev/${controller}n`));
    if (mount !== undefined) return `${mount.split(' ')[1]} is mounted from ${mount.split(' ')[0]}`;
  }
  return undefined;
}

/** A remedy that any shell runs, without driverctl or dpdk-devbind. */
function bindCommand({ address, driver }: Device): string {
  const base = `/sys/bus/pci/devices/${address}`;
  return [
    'modprobe vfio-pci',
    `echo vfio-pci > ${base}/driver_override`,
    ...(driver === undefined ? [] : [`echo ${address} > ${base}/driver/unbind`]),
    `echo ${address} > /sys/bus/pci/drivers_probe`,
  ].join('; ');
}

export function examineDevices(machine: Machine, groups: readonly Group[]): readonly Finding[] {
  const bound = groups.filter(({ devices }) => devices.some(({ forUser }) => forUser));
  return [
    driverModule(machine, bound.length > 0),
    ...binding(machine, groups, bound),
    ...bound.flatMap((group) => examineGroup(machine, group)),
  ];
}

function driverModule(machine: Machine, inUse: boolean): Finding {
  if (inUse || exists(machine, '/sys/bus/pci/drivers/vfio-pci'))
    return ok('vfio-pci', 'the vfio-pci driver is loaded');
  const release = machine.read('/proc/sys/kernel/osrelease') ?? '';
  const directory = `/lib/modules/${release}/kernel/drivers/vfio/pci`;
  if (machine.list(directory).some((name) => name.startsWith('vfio-pci.ko'))) {
    return problem('vfio-pci', 'the vfio-pci driver is not loaded', ...onHost(machine, 'modprobe vfio-pci'));
  }
  return problem(
    'vfio-pci',
    `this kernel has no vfio-pci driver: neither loaded nor in ${directory}`,
    ...onHost(machine, '# install a kernel with CONFIG_VFIO_PCI (Debian: apt-get install linux-image-amd64)'),
  );
}

function binding(machine: Machine, groups: readonly Group[], bound: readonly Group[]): readonly Finding[] {
  const devices = bound.flatMap((group) => group.devices.filter(({ forUser }) => forUser));
  if (devices.length > 0) {
    return [
      ok(
        'bound',
        `${countText(devices.length, 'device')} bound to vfio-pci: ${devices.map(describe).join(', ')}`,
      ),
    ];
  }
  const candidates = groups.flatMap((group) => group.devices).filter(({ kind }) => CANDIDATES.has(kind));
  const free = candidates.filter(({ inUse }) => inUse === undefined);
  const busy = candidates.filter(({ inUse }) => inUse !== undefined);
  if (groups.length === 0)
    return [problem('bound', 'no device can be bound to vfio-pci: there is no IOMMU group')];
  return [
    problem(
      'bound',
      `no device is bound to vfio-pci${candidates.length === 0 ? ', and none of a usual kind is there' : ''}`,
      ...free
        .slice(0, MAX_CANDIDATES)
        .flatMap((device) => [
          `# ${describe(device)}, now with ${device.driver ?? 'no driver'}:`,
          ...onHost(machine, bindCommand(device)),
        ]),
      ...busy.slice(0, MAX_CANDIDATES).map((device) => `# not ${describe(device)}: ${device.inUse}`),
    ),
  ];
}

function describe({ address, kind, id }: Device): string {
  return `${address} (${kind} ${id})`;
}

function examineGroup(machine: Machine, group: Group): readonly Finding[] {
  const id = `group-${group.number}`;
  const findings: Finding[] = [];
  if (group.blockers.length > 0) {
    findings.push(
      problem(
        id,
        `group ${group.number} is not viable: ${group.blockers.map((device) => `${describe(device)} is driven by ${device.driver}`).join(', ')}; all of a group goes to user space or none`,
        ...group.blockers.flatMap((device) => [
          ...(device.inUse === undefined ? [] : [`# careful: ${device.inUse}`]),
          bindCommand(device),
        ]),
      ),
    );
  }
  const nodes = [group.noIommu ? `/dev/vfio/noiommu-${group.number}` : `/dev/vfio/${group.number}`];
  for (const { cdev } of group.devices) if (cdev !== undefined) nodes.push(`/dev/vfio/devices/${cdev}`);
  const present = nodes.filter((node) => exists(machine, node));
  if (present.length === 0) {
    findings.push(
      problem(
        id,
        `${nodes[0]} is missing though the group has a device for user space`,
        ...onHost(machine, '# hand the node into the container, or restart udev: udevadm trigger -s vfio'),
      ),
    );
  }
  findings.push(...present.flatMap((node) => permission(machine, id, node, group.noIommu)));
  if (findings.length === 0)
    findings.push(ok(id, `group ${group.number} is viable, and ${present.join(' and ')} can be opened`));
  return findings;
}

function permission(machine: Machine, id: string, node: string, noIommu: boolean): readonly Finding[] {
  const status = machine.status(node);
  if (status === undefined || mayOpen(machine, status)) {
    // vfio_group_fops_open asks for CAP_SYS_RAWIO where there is no IOMMU, whatever the mode says.
    if (noIommu && machine.uid !== 0)
      return [
        problem(id, `${node}: without an IOMMU only root may open a group`, '# run the driver as root'),
      ];
    return [];
  }
  return [
    problem(
      id,
      `${node} may not be opened by ${machine.user} (mode ${status.mode.toString(8).padStart(4, '0')})`,
      `chown ${machine.user} ${node}`,
      `# for good: echo 'SUBSYSTEM=="vfio", OWNER="${machine.user}"' > /etc/udev/rules.d/90-vfio.rules`,
    ),
  ];
}

/** The nodes that every driver opens first. */
export function examineNodes(machine: Machine): readonly Finding[] {
  const usable = ['/dev/vfio/vfio', '/dev/iommu'].filter((node) => {
    const status = machine.status(node);
    return status !== undefined && mayOpen(machine, status);
  });
  if (usable.length > 0) return [ok('nodes', `${usable.join(' and ')} can be opened`)];
  const closed = ['/dev/vfio/vfio', '/dev/iommu'].find((node) => exists(machine, node));
  if (closed !== undefined) {
    return [
      problem(
        'nodes',
        `${closed} may not be opened by ${machine.user}`,
        closed === '/dev/iommu' ? `chown ${machine.user} ${closed}` : `chmod 0666 ${closed}`,
      ),
    ];
  }
  return [
    problem('nodes', 'neither /dev/vfio/vfio nor /dev/iommu exists', ...onHost(machine, 'modprobe vfio-pci')),
  ];
}

export function warnOfNoIommu(groups: readonly Group[]): readonly Finding[] {
  const open = groups.filter(({ noIommu }) => noIommu);
  return open.length === 0
    ? []
    : [
        warn(
          'no-iommu',
          `${countText(open.length, 'group')} without an IOMMU (${open.map(({ number }) => `noiommu-${number}`).join(', ')}): nothing keeps such a device from any memory`,
        ),
      ];
}
