// SPDX-License-Identifier: Apache-2.0
import { type Finding, ok, warn } from './finding.js';
import { CAP_IPC_LOCK, hasCapability, type Machine } from './machine.js';
import { isContainer, onHost } from './system.js';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/**
 * A driver pins what it maps for DMA against RLIMIT_MEMLOCK (vfio_lock_acct, iopt's pages accounting). QEMU's NVMe
 * driver wants some MiB, DPDK all of its hugepages, a VMM the whole guest.
 */
const MEMLOCK_FOR_MOST = GiB;
/** Rings of a dozen threads. */
const TMPFS_FOR_MOST = 64 * MiB;

export function examineMemory(machine: Machine): readonly Finding[] {
  return [memlock(machine), ...hugepages(machine), tmpfs(machine)];
}

function memlock(machine: Machine): Finding {
  const [, soft, hard] =
    /^Max locked memory\s+(\S+)\s+(\S+)/m.exec(machine.read('/proc/self/limits') ?? '') ?? [];
  if (soft === undefined || hard === undefined)
    return warn('memlock', 'the limit on locked memory is not known');
  if (hasCapability(machine, CAP_IPC_LOCK))
    return ok('memlock', 'CAP_IPC_LOCK: no limit on memory mapped for DMA');
  if (soft === 'unlimited' || Number(soft) >= MEMLOCK_FOR_MOST) {
    return ok('memlock', `${bytes(soft)} may be mapped for DMA (ulimit -l)`);
  }
  const enough = hard === 'unlimited' || Number(hard) >= MEMLOCK_FOR_MOST;
  const remedy = enough
    ? [
        `# in the shell of the driver, no root needed: ulimit -l ${hard === 'unlimited' ? 'unlimited' : Number(hard) / 1024}`,
      ]
    : isContainer(machine)
      ? ['# on the host: docker run --ulimit memlock=-1 …']
      : [
          `printf '%s - memlock unlimited\\n' ${machine.user} > /etc/security/limits.d/vfio.conf  # then log in anew`,
          '# for this shell at once: prlimit --pid $$ --memlock=unlimited',
        ];
  return warn(
    'memlock',
    `a driver of ${machine.user} may map no more than ${bytes(soft)} for DMA; beyond it VFIO_IOMMU_MAP_DMA gives ENOMEM`,
    ...remedy,
  );
}

function hugepages(machine: Machine): readonly Finding[] {
  const base = '/sys/kernel/mm/hugepages';
  const pools = machine.list(base).flatMap((name) => {
    const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    const total = Number(machine.read(`${base}/${name}/nr_hugepages`));
    const free = Number(machine.read(`${base}/${name}/free_hugepages`));
    return total > 0 ? [{ kilobytes, total, free }] : [];
  });
  const wanted = 'DPDK and SPDK want some; QEMU, libvfn and most others need none';
  if (pools.length === 0) {
    return [
      warn(
        'hugepages',
        `no hugepages are set aside (${wanted})`,
        ...onHost(machine, 'sysctl -w vm.nr_hugepages=512'),
      ),
    ];
  }
  const text = pools
    .map(({ kilobytes, total, free }) => `${free} of ${total} of ${bytes(kilobytes * 1024)}`)
    .join(', ');
  const mount = (machine.read('/proc/mounts') ?? '')
    .split('\n')
    .find((line) => line.split(' ')[2] === 'hugetlbfs');
  if (mount === undefined) {
    return [
      warn(
        'hugepages',
        `hugepages free: ${text}, but no hugetlbfs is mounted (DPDK looks for one)`,
        'mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages',
      ),
    ];
  }
  if (pools.every(({ free }) => free === 0)) {
    return [
      warn(
        'hugepages',
        `all hugepages are in use: ${text} free (${wanted})`,
        'ls -l /dev/hugepages  # left over by a dead DPDK process? rm them',
        ...onHost(machine, 'sysctl -w vm.nr_hugepages=1024'),
      ),
    ];
  }
  return [ok('hugepages', `hugepages free: ${text}, mounted at ${mount.split(' ')[1]}`)];
}

/** The rings between the driver and the recorder are files there; on a disk the driver would wait for it. */
function tmpfs(machine: Machine): Finding {
  const remedy = isContainer(machine)
    ? ['# on the host: docker run --shm-size=1g …']
    : ['mount -o remount,size=1g /dev/shm || mount -t tmpfs -o size=1g,mode=1777 tmpfs /dev/shm'];
  const place = machine.filesystem('/dev/shm');
  if (place === undefined || !place.inMemory) {
    return warn(
      'tmpfs',
      '/dev/shm is no tmpfs: the recorder will look for another place, at worst on a disk that the driver then waits for',
      ...remedy,
    );
  }
  if (place.freeBytes < TMPFS_FOR_MOST) {
    return warn(
      'tmpfs',
      `/dev/shm has only ${bytes(place.freeBytes)} free; ${bytes(TMPFS_FOR_MOST)} serve a driver of a dozen threads`,
      ...remedy,
    );
  }
  return ok('tmpfs', `/dev/shm has ${bytes(place.freeBytes)} free for the rings`);
}

function bytes(count: number | string): string {
  const value = Number(count);
  if (Number.isNaN(value)) return String(count);
  if (value >= GiB) return `${Number((value / GiB).toFixed(1))} GiB`;
  if (value >= MiB) return `${Number((value / MiB).toFixed(1))} MiB`;
  return `${Math.round(value / 1024)} KiB`;
}
