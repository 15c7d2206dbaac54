// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { type ProgrammedAddress, ProgrammedAddresses } from './programmed.js';

/** Registers of queues that the device writes: completions, used rings. */
const WRITTEN = /^ACQ$|^queue_device/;

export const DMA_004: Rule = {
  id: 'DMA-004',
  title: 'Every address that the device is given is mapped for it',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `The device knows IOVAs only. A pointer of the process, a physical address or an address that was not mapped yet ends in an IOMMU fault at best, of which the driver sees nothing but
a command that never completes.`,
  sources: [
    'Documentation/driver-api/vfio.rst (DMA mapping)',
    'NVM Express 1.4 §3.1.8 (ASQ), §3.1.9 (ACQ)',
    'Virtual I/O Device 1.1 §4.1.4.3',
  ],
  decided: `When the controller is enabled, and when it is given a whole address later: the queue's first and last byte (first alone where its length is not known) must lie in a live mapping of its address
space, one that it may write where it writes (NVMe's ACQ, virtio's used ring), else one that it may read.`,
  wrongWhen: `Addresses in memory (PRPs, descriptors) are not looked at: what lies in DMA memory was not recorded. Without an IOMMU there is nothing to hold them against. Address 0 is as good as any
other when it is mapped.`,
  compliant: 'Map first, and give the device the IOVA that it was mapped at.',
  watch: (check) => {
    const programmed = new ProgrammedAddresses();
    const look = (
      device: DeviceLife,
      { register, address, bytes, event }: ProgrammedAddress,
      now: number,
    ): void => {
      const space = check.story.spaces.of(device.id);
      if (space === undefined) {
        check.unknown('which address space the device is in was not recorded');
        return;
      }
      if (check.story.spaces.isNoIommu(space)) return;
      check.judged();
      const held = check.story.session.dma.space(space.object, space.ioas);
      const write = WRITTEN.test(register);
      const wrong = (at: bigint): string | undefined => {
        const mapping = held.at(at);
        if (mapping === undefined) return `nothing is mapped at ${hex(at)}`;
        return (write ? mapping.writable : mapping.readable)
          ? undefined
          : `the mapping at ${hex(at)} does not let the device ${write ? 'write' : 'read'}`;
      };
      const what = wrong(address) ?? (bytes > 1n ? wrong(address + bytes - 1n) : undefined);
      if (what === undefined) return;
      const own = [...held].some(
        (mapping) => address >= mapping.address && address < mapping.address + mapping.length,
      );
      check.report({
        key: register,
        device,
        message: `${register} points to ${hex(address)}, but ${what}${own ? '; that is where the process has it, not its IOVA' : ''}`,
        evidence: [
          { event: now, note: now === event ? 'the address' : 'the controller was enabled with it' },
          ...(now === event ? [] : [{ event, note: 'the address' }]),
        ],
      });
    };
    return {
      on: {
        controller: (step) => {
          const { device, what, whole, event, register } = step;
          programmed.apply(step);
          if (what === 'enabled') {
            for (const address of programmed.of(device)) look(device, address, event.number);
            return;
          }
          if (what !== 'address' || whole !== true || device.controllerEnabled !== true) return;
          for (const address of programmed.of(device))
            if (address.register === register && address.event === event.number)
              look(device, address, event.number);
        },
      },
      ioctl: {
        VFIO_DEVICE_RESET: ({ device, ok }) => {
          if (device !== undefined && ok) programmed.forget(device);
        },
      },
    };
  },
};
