// SPDX-License-Identifier: Apache-2.0
/**
 * Queue memory that was unmapped under a controller that was running with bus mastering on. What came next tells which
 * rule it breaks: a doorbell (DMA-005: the session goes on), or the end (DMA-002: stopped too late).
 */
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { RuleCheck, RuleWatch } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { type ProgrammedAddress, ProgrammedAddresses } from './programmed.js';
import { overlap } from './requests.js';

export interface TornQueue {
  readonly device: DeviceLife;
  readonly queue: ProgrammedAddress;
  /** Where the process has it. */
  readonly memory: bigint;
  /** Of the unmapping. */
  readonly event: number;
  /** Of the doorbell after it; undefined: the device was stopped, reset or closed, or the recording ended. */
  readonly rung: number | undefined;
}

export function watchTornQueues(check: RuleCheck, tell: (torn: TornQueue) => void): RuleWatch {
  const programmed = new ProgrammedAddresses();
  const torn = new Map<DeviceLife, Omit<TornQueue, 'rung'>[]>();
  const settle = (device: DeviceLife, rung: number | undefined): void => {
    const held = torn.get(device);
    if (held === undefined) return;
    torn.delete(device);
    for (const one of held) tell({ ...one, rung });
  };
  const reset = ({ device, ok }: { readonly device: DeviceLife | undefined; readonly ok: boolean }): void => {
    if (device === undefined || !ok) return;
    settle(device, undefined);
    programmed.forget(device);
  };
  return {
    ioctl: { VFIO_DEVICE_RESET: reset, VFIO_DEVICE_PCI_HOT_RESET: reset },
    on: {
      controller: (step) => {
        check.judged();
        programmed.apply(step);
        if (step.what !== 'address' && step.what !== 'enabled') settle(step.device, undefined);
      },
      'dma-unmap': ({ space, start, length, mappings, event }) => {
        if (mappings.length === 0) return;
        for (const device of check.story.devicesIn(space)) {
          if (!device.busMaster || device.controllerEnabled !== true) continue;
          for (const queue of programmed.of(device)) {
            const mapping = mappings.find((one) =>
              overlap(one.start, one.length, queue.address, queue.bytes),
            );
            if (mapping === undefined || !overlap(start, length, queue.address, queue.bytes)) continue;
            const memory = mapping.address + (queue.address - mapping.start);
            const held = torn.get(device) ?? [];
            torn.set(device, held);
            held.push({ device, queue, memory, event: event.number });
          }
        }
      },
      // The same memory again: a monitor that cuts its guest's memory anew.
      'dma-map': ({ space, mapping }) => {
        if (torn.size === 0) return;
        for (const [device, held] of torn) {
          if (check.story.spaces.of(device.id) !== space) continue;
          const left = held.filter(
            ({ queue, memory }) =>
              !overlap(mapping.start, mapping.length, queue.address, queue.bytes) ||
              mapping.address + (queue.address - mapping.start) !== memory,
          );
          if (left.length > 0) torn.set(device, left);
          else torn.delete(device);
        }
      },
      'region-write': ({ device, region, offset, event }) => {
        if (torn.size === 0) return;
        const register = device.state.lookup(region)(offset);
        if (register !== undefined && isDoorbell(register.name)) settle(device, event.number);
      },
      'config-write': ({ device }) => {
        if (!device.busMaster) settle(device, undefined);
      },
      ...onGone(check.story, (device) => {
        settle(device, undefined);
        programmed.forget(device);
      }),
    },
    access: ({ device, direction, register }) => {
      if (direction === 'load' || register === undefined || !isDoorbell(register.name)) return undefined;
      return (row) => {
        if (torn.size > 0) settle(device, row.event);
      };
    },
    end: () => {
      for (const device of [...torn.keys()]) settle(device, undefined);
    },
  };
}
