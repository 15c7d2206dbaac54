// SPDX-License-Identifier: Apache-2.0
import { findIoctl } from '../../../abi/ioctls.js';
import { decode } from '../../../abi/layout.js';
import { LYON_DEVICE } from '../../../abi/object-kinds.js';
import { DEVICE_FEATURE } from '../../../abi/vfio/feature.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';

const FEATURE_BUS_MASTER = 10;
const OBSOLETE: ReadonlySet<string> = new Set(['VFIO_DMA_MASK', 'VFIO_DMA_MAP_ANYWHERE']);

export const DMA_003: Rule = {
  id: 'DMA-003',
  title: 'Nothing but a write to Command switches bus mastering on; the calls of 2010 are gone',
  severity: 'note',
  profiles: { lyon2010: 'error', test: 'note' },
  kernel: 'refuses',
  basis: 'inferred',
  why: `In the first drafts of VFIO setting a DMA mask enabled bus mastering; that went, and with it VFIO_DMA_MASK and VFIO_DMA_MAP_ANYWHERE. Today a device that was told where its queues are and
never was made bus master can neither fetch them nor send a message-signalled interrupt. VFIO_DEVICE_FEATURE_BUS_MASTER is for CDX devices.`,
  sources: [
    'Lyon, June 2010: VFIO_DMA_MASK removed ("VFIO_DMA_MASK … gone")',
    'linux/vfio.h: VFIO_DEVICE_FEATURE_BUS_MASTER',
    'PCIe 5.0 §7.5.1.1.3 (Bus Master Enable also governs MSI and MSI-X)',
  ],
  decided: `VFIO_DMA_MASK or VFIO_DMA_MAP_ANYWHERE on a device of 2010, or any request of that interface on a device of today: an error. FEATURE_BUS_MASTER on a PCI device: a note. A controller that was enabled
with the address of a queue, and bus mastering that was never on until the device was closed: a warning.`,
  wrongWhen:
    'A device that is driven by polling its registers needs no bus mastering; it is told no address either.',
  compliant: 'Read Command, set bit 2, write it back.',
  watch: (check) => {
    const enabled = new Map<DeviceLife, number>();
    const addressed = new Set<DeviceLife>();
    const ended = (device: DeviceLife, event: number): void => {
      const since = enabled.get(device);
      enabled.delete(device);
      if (since === undefined || !device.fromStart || device.firstMaster !== undefined) return;
      check.report({
        key: 'never bus master',
        device,
        severity: 'warning',
        message: 'the controller was enabled with queues in memory, and bus mastering was never switched on',
        evidence: [
          { event: since, note: 'enabled' },
          { event, note: 'and no write to Command until here' },
        ],
      });
    };
    return {
      ioctl: {
        VFIO_DEVICE_FEATURE: ({ device, before, event }) => {
          if (device === undefined) return;
          if (((decode(DEVICE_FEATURE, before).flags ?? 0) & 0xffff) !== FEATURE_BUS_MASTER) return;
          check.report({
            key: 'FEATURE_BUS_MASTER',
            device,
            severity: 'note',
            message: 'VFIO_DEVICE_FEATURE_BUS_MASTER does nothing for a PCI device',
            evidence: [{ event: event.number, note: 'the call' }],
          });
        },
      },
      on: {
        ioctl: ({ device, name, event }) => {
          if (device === undefined) return;
          const old = device.isLyon
            ? OBSOLETE.has(name)
            : name.startsWith('ioctl ') && findIoctl(LYON_DEVICE, event.op) !== undefined;
          if (!old) return;
          const known = findIoctl(LYON_DEVICE, event.op)?.name ?? name;
          check.report({
            key: known,
            device,
            severity: 'error',
            message: device.isLyon
              ? `${known} is of the first drafts: it went in July 2010`
              : `${known} is of the interface of 2010: there is no such call today`,
            evidence: [{ event: event.number, note: 'the call' }],
          });
        },
        controller: ({ device, what, event }) => {
          check.judged();
          if (what === 'address') addressed.add(device);
          else if (what === 'enabled' && addressed.has(device) && !enabled.has(device))
            enabled.set(device, event.number);
        },
        ...onGone(check.story, (device, { event }) => ended(device, event)),
      },
      end: () => {
        for (const device of [...enabled.keys()]) ended(device, check.story.latest.event);
      },
    };
  },
};
