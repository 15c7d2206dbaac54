// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { type Interval, Intervals } from '../../../session/intervals.js';
import type { Rule } from '../../check/rule.js';
import { overlap } from './requests.js';

const FORK = 0;
const CLONE = 2;
const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;
const MAP_SHARED = 1;
const MAP_ANONYMOUS = 0x20;
const MAP_HUGETLB = 0x40000;

/** Memory whose behaviour in a fork is known. */
interface Kind extends Interval {
  readonly copied: boolean;
}

const part = (whole: Kind, start: bigint, length: bigint): Kind => ({ ...whole, start, length });

export const DMA_016: Rule = {
  id: 'DMA-016',
  title: 'Memory that is mapped for DMA does not go to forked children',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `fork makes private memory copy-on-write. Who writes first gets the copy: when that is the parent, it has another page than the device. Kernels since 5.x copy pinned pages for the child at once, which costs time
and memory; older ones corrupt.`,
  sources: [
    'Documentation/core-api/pin_user_pages.rst',
    'mm/memory.c: copy_present_page (page_needs_cow_for_dma)',
    'madvise(2): MADV_DONTFORK',
  ],
  decided: `fork or clone of a process while private anonymous memory of it was mapped for DMA and not excepted by MADV_DONTFORK, and the child did not call exec. Where it was not recorded what kind of memory it is
(it was mapped before it was first used for DMA), the answer is unknown.`,
  wrongWhen: `vfork and posix_spawn share the memory until exec: silent. On a current kernel the parent keeps its pages.`,
  compliant: 'MADV_DONTFORK, or MAP_SHARED memory, or fork first.',
  watch: (check) => {
    const kinds = new Map<number, Intervals<Kind>>();
    /** By pid of the child: exec makes it harmless. */
    const forks = new Map<number, () => void>();
    const of = (process: number): Intervals<Kind> => {
      let held = kinds.get(process);
      if (held === undefined) {
        held = new Intervals();
        kinds.set(process, held);
      }
      return held;
    };
    return {
      on: {
        memory: ({ what, start, length, argument, event, ok, process }) => {
          if (!ok || length === 0n) return;
          const held = of(process);
          if (what === 'mmap') {
            const flags = event.op >>> 8;
            const shared = (flags & 3) === MAP_SHARED || (flags & 3) === 3 || (flags & MAP_HUGETLB) !== 0;
            held.add({ start, length, copied: !shared && (flags & MAP_ANONYMOUS) !== 0 }, part);
          } else if (what === 'munmap') held.remove(start, length, part);
          else if (what === 'madvise' && (argument === MADV_DONTFORK || argument === MADV_DOFORK))
            held.add({ start, length, copied: argument === MADV_DOFORK }, part);
        },
        fork: ({ event, process, ok }) => {
          const child = Number(event.result);
          if (!ok || child <= 0 || (event.op !== FORK && event.op !== CLONE)) return;
          const copied: bigint[] = [];
          let unknown = false;
          for (const space of check.story.spaces.all()) {
            for (const { address, length } of check.story.session.dma.space(space.object, space.ioas)) {
              const found = of(process).within(address, length);
              const covered = found.reduce((sum, kind) => sum + kind.length, 0n) >= length;
              if (found.some((kind) => kind.copied && overlap(kind.start, kind.length, address, length)))
                copied.push(address);
              else if (!covered) unknown = true;
            }
          }
          if (copied.length === 0 && !unknown) return;
          forks.set(child, () => {
            if (copied.length === 0) {
              check.unknown(
                'what kind of memory was mapped for DMA when the process forked was not recorded',
              );
              return;
            }
            check.report({
              key: 'fork',
              message: `a fork while private memory was mapped for DMA (${copied.length === 1 ? '' : `${copied.length} mappings, the first `}at ${hex(copied[0] as bigint)})`,
              evidence: [{ event: event.number, note: 'the child gets a copy' }],
            });
          });
        },
        exec: ({ process, ok }) => {
          const pid = check.story.session.definitions.processes.get(process)?.pid;
          if (ok && pid !== undefined) forks.delete(pid);
        },
        'dma-map': () => check.judged(),
      },
      end: () => {
        for (const tell of forks.values()) tell();
      },
    };
  },
};
