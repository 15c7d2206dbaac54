// SPDX-License-Identifier: Apache-2.0
import { hex, size as sizeText } from '../../../abi/text.js';
import { DMA_UNMAP_VADDR } from '../../../abi/vfio/type1.js';
import { type Interval, Intervals } from '../../../session/intervals.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { MemoryStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { onMap, onUnmap, overlap } from './requests.js';

const MAP_FIXED = 0x10;
/** MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_DONTNEED_LOCKED: the page goes. */
const DROPS: ReadonlySet<number> = new Set([4, 8, 9, 24]);

const REMEMBERED = 1024;

/** Memory that went although it was mapped. */
interface Given {
  readonly what: MemoryStep['what'];
  readonly space: DmaSpace;
  readonly event: number;
  readonly message: string;
}

const part = (_: Interval, start: bigint, length: bigint): Interval => ({ start, length });

export const DMA_015: Rule = {
  id: 'DMA-015',
  title: 'Memory is unmapped for DMA before the process gives it away',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `The pages stay pinned, and the device goes on using them; the process gets others at the same address, or another thread's buffer. Each side writes where the other never looks: corruption without any message. The
kernel of 2010 unmapped by itself (mmu_notifier); today it does not.`,
  sources: [
    'vfio_iommu_type1.c: pages are pinned by FOLL_LONGTERM and never followed',
    'Lyon 2010: vfio_dma_inval_range (mmu_notifier)',
  ],
  decided: `munmap, mremap, MAP_FIXED over it, or MADV_DONTNEED, FREE or REMOVE of memory that is mapped for DMA at that moment: an error when a device of the address space was open with bus mastering on, and either its
controller was known to run, or it was not known to be stopped and the device was accessed afterwards. Else a note: the pages stay pinned and counted.`,
  wrongWhen: `After VFIO_DMA_UNMAP_FLAG_VADDR the addresses may change: silent about that address space from then on. What free() does with small buffers is not seen; a large one is an munmap.`,
  compliant: 'VFIO_IOMMU_UNMAP_DMA, then munmap.',
  watch: (check) => {
    /** What was ever mapped, by process: whether it still is, is asked for when it is touched. */
    const ever = new Map<number, Intervals<Interval>>();
    const suspended = new Set<DmaSpace>();
    const live = (
      start: bigint,
      length: bigint,
    ): { readonly space: DmaSpace; readonly bytes: bigint } | undefined => {
      for (const space of check.story.spaces.all()) {
        if (suspended.has(space)) continue;
        for (const { address, length: size } of check.story.session.dma.space(space.object, space.ioas))
          if (overlap(start, length, address, size)) return { space, bytes: size };
      }
      return undefined;
    };
    const pending: (Given & { readonly devices: readonly DeviceLife[] })[] = [];
    const tell = ({ what, space, event, message }: Given, severity: 'error' | 'note', used?: number): void =>
      check.report({
        key: what,
        object: space.object,
        severity,
        message: `${message}${severity === 'note' ? '; no device that was running could reach it' : ''}`,
        evidence: [
          { event, note: 'mapped for DMA still' },
          ...(used === undefined ? [] : [{ event: used, note: 'a device that can reach it is used' }]),
        ],
      });
    const look = ({ what, start, length, argument, event, ok, process }: MemoryStep): void => {
      const held = ever.get(process);
      if (held === undefined || !ok || length === 0n) return;
      if (what === 'mprotect' || (what === 'madvise' && !DROPS.has(argument))) return;
      if (what === 'mmap' && ((event.op >>> 8) & MAP_FIXED) === 0) return;
      if (held.within(start, length).length === 0) return;
      check.judged();
      const found = live(start, length);
      if (found === undefined) {
        held.remove(start, length, part);
        return;
      }
      const { space, bytes } = found;
      const masters = check.story.devicesIn(space).filter(({ busMaster }) => busMaster);
      const given: Given = {
        what,
        space,
        event: event.number,
        message: `${what} of ${sizeText(length)} at ${hex(start)}, in memory that is mapped for DMA (${sizeText(bytes)})`,
      };
      const unsure = masters.filter(({ controllerEnabled }) => controllerEnabled === undefined);
      if (masters.some(({ controllerEnabled }) => controllerEnabled === true)) tell(given, 'error');
      else if (unsure.length === 0 || pending.length >= REMEMBERED) tell(given, 'note');
      else pending.push({ ...given, devices: unsure });
    };
    return {
      on: { memory: look },
      end: () => {
        for (const { devices, ...given } of pending) {
          const used = devices.find(({ accessEvent }) => accessEvent > given.event);
          tell(given, used === undefined ? 'note' : 'error', used?.accessEvent);
        }
      },
      ioctl: {
        ...onMap(check.story, ({ vaddr, size }, { ok, process }) => {
          if (!ok || size <= 0n) return;
          check.judged();
          let held = ever.get(process);
          if (held === undefined) {
            held = new Intervals();
            ever.set(process, held);
          }
          held.add({ start: vaddr, length: size }, part);
        }),
        ...onUnmap(check.story, ({ space, flags }, { ok }) => {
          if (ok && (flags & DMA_UNMAP_VADDR) !== 0) suspended.add(space);
        }),
      },
    };
  },
};
