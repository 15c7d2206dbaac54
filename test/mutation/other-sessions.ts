// SPDX-License-Identifier: Apache-2.0
/** Clean sessions that go another way than the NVMe driver with MSI-X: other interrupts, other nodes, resets, other devices. */
import { IOAS_ALLOC, IOAS_MAP, IOAS_UNMAP } from '../../abi/iommufd/ioas.js';
import { attribute, encodeNetlink, LYON_ATTRIBUTES, LYON_MESSAGES } from '../../abi/lyon2010/netlink.js';
import { nvmeConfig, type Opened } from '../../session/fixtures.js';
import {
  before,
  CLEAN,
  type Context,
  IOVA,
  MIB,
  replaced,
  type Step,
  step,
  without,
} from './clean-session.js';

const UNMASK = { index: 0, flags: 0x11, count: 1 };

/** An interrupt, what it is about, and a doorbell. */
const inOne = (name: string, unmask: boolean): Step =>
  step(name, ({ s, device, eventfds }) => {
    const eventfd = eventfds[0] as Opened;
    for (let n = 0; n < 40; n++) {
      s.wake(eventfd).readEventfd(eventfd).load(device, 0, 0x1c, 4, 1).store(device, 0, 0x1004, 4, n);
      if (unmask) s.setIrqs(device, UNMASK);
    }
  });

/** One vector of INTx (0) or MSI (1), on a device that has no more. */
function withOneVector(index: 0 | 1): readonly Step[] {
  const counts = index === 0 ? [1, 0, 0, 1, 1] : [1, 1, 0, 1, 1];
  const changes: Readonly<Record<string, (context: Context) => void>> = {
    'irq info': ({ s, device }) => {
      for (const [at, count] of counts.entries()) s.irqInfo(device, at, count);
    },
    'MSI-X': ({ s, device, eventfds }) => s.setIrqs(device, { index, eventfds: eventfds.slice(0, 1) }),
    'interrupts off': ({ s, device }) => {
      for (const at of [index, 3, 4]) s.setIrqs(device, { index: at });
    },
  };
  const works = ['work 1', 'work 2', 'work 3'];
  let steps = CLEAN.map((one) => (works.includes(one.name) ? inOne(one.name, index === 0) : one));
  for (const [name, run] of Object.entries(changes)) steps = [...replaced(name, run, steps)];
  if (index === 1) return steps;
  // Interrupt Disable stays clear: the line is wanted.
  steps = [
    ...replaced(
      'bus master',
      ({ s, device }) => s.configRead(device, 4, 2, 0x0002).configWrite(device, 4, 2, 0x0006),
      steps,
    ),
  ];
  return replaced(
    'bus master off',
    ({ s, device }) => s.configRead(device, 4, 2, 0x0006).configWrite(device, 4, 2, 0x0002),
    steps,
  );
}

export const INTX = withOneVector(0);
export const MSI = withOneVector(1);

const IOAS = 1;

/** The device's own node, and iommufd. */
export const CDEV: readonly Step[] = CLEAN.flatMap((one): readonly Step[] => {
  switch (one.name) {
    case 'version':
    case 'extension':
    case 'group':
    case 'viable':
    case 'set container':
    case 'set iommu':
    case 'close group':
      return [];
    case 'container':
      return [
        step('iommufd', (c) => {
          c.container = c.s.iommufd();
        }),
      ];
    case 'device':
      return [
        step('device', (c) => {
          c.device = c.s.openCdev();
          c.s.bind(c.device, c.container);
        }),
        step('address space', ({ s, container }) =>
          s.struct(container, 'IOMMU_IOAS_ALLOC', IOAS_ALLOC, { size: 12 }, { size: 12, out_ioas_id: IOAS }),
        ),
        step('attach', ({ s, device }) => s.attach(device, IOAS)),
      ];
    case 'map DMA':
      return [
        step(one.name, ({ s, container, memory }) => {
          const map = { size: 40, flags: 7, ioas_id: IOAS, user_va: memory, length: MIB, iova: IOVA };
          s.struct(container, 'IOMMU_IOAS_MAP', IOAS_MAP, map, map);
        }),
      ];
    case 'unmap DMA':
      return [
        step(one.name, ({ s, container }) => {
          const unmap = { size: 24, ioas_id: IOAS, iova: IOVA, length: MIB };
          s.struct(container, 'IOMMU_IOAS_UNMAP', IOAS_UNMAP, unmap, unmap);
        }),
      ];
    case 'unset container':
      return [];
    case 'close device':
      return [step('detach', ({ s, device }) => s.ioctl(device, 'VFIO_DEVICE_DETACH_IOMMUFD_PT')), one];
    default:
      return [one];
  }
});

const named = (name: string): Step => CLEAN.find((one) => one.name === name) as Step;
const again = (name: string): Step => ({ ...named(name), name: `${name} again` });

/** Reset between two pieces of work: stopped before it, set up anew after it. */
export const RESET: readonly Step[] = CLEAN.flatMap((one) =>
  one.name === 'work 3'
    ? [
        again('stop'),
        step('MSI-X off', ({ s, device }) => s.setIrqs(device, { index: 2 })),
        again('bus master off'),
        step('reset', ({ s, device }) => s.reset(device)),
        again('bus master'),
        again('AQA'),
        again('ASQ'),
        again('ACQ'),
        again('enable'),
        again('MSI-X'),
        one,
      ]
    : [one],
);

/** The kernel could not reset the device at open: the driver resets the controller itself, and stops it at the end. */
export const UNRESETTABLE = replaced('info', ({ s, device }) => s.deviceInfo(device, 2));

const ADAPTER = {
  vendor: 0x8086,
  device: 0x10d3,
  classCode: 0x020000,
  config: (() => {
    const config = nvmeConfig();
    config.set([0x86, 0x80, 0xd3, 0x10], 0);
    config.set([0x00, 0x00, 0x02], 0x09);
    // The table and the pending bits are in BAR 3.
    config.set([0x03, 0x00], 0x74);
    config.set([0x03, 0x20], 0x78);
    return config;
  })(),
};

const RINGS: readonly (readonly [number, number])[] = [
  [0x2800, Number(IOVA)],
  [0x2804, 0],
  [0x2808, 0x1000],
  [0x3800, Number(IOVA) + 0x1000],
  [0x3804, 0],
  [0x3808, 0x1000],
];

/** Packets, and an interrupt for each. */
const packets = (name: string): Step =>
  step(name, ({ s, device, eventfds }) => {
    for (let n = 1; n <= 40; n++) {
      const eventfd = eventfds[n % 2] as Opened;
      s.store(device, 0, 0x3818, 4, n).wake(eventfd).readEventfd(eventfd).load(device, 0, 0xc0, 4, n);
    }
  });

/** An Intel 82574 with a vector for each of its rings. */
export const E1000E: readonly Step[] = CLEAN.flatMap((one): readonly Step[] => {
  switch (one.name) {
    case 'device':
      return [
        step(one.name, (c) => {
          c.device = c.s.getDevice(c.group, ADAPTER);
        }),
      ];
    case 'BAR info':
      return [step(one.name, ({ s, device }) => s.regionInfo(device, 0, { size: 0x2_0000n }))];
    case 'map BAR':
      return [
        step(one.name, (c) => {
          c.bar = c.s.map(c.device, 0, 0x2_0000n);
        }),
      ];
    case 'unmap BAR':
      return [step(one.name, ({ s, bar }) => s.unmap(bar, 0x2_0000n))];
    case 'stop first':
    case 'stop':
      // CTRL.RST.
      return [
        step(one.name, ({ s, device }) =>
          s.store(device, 0, 0, 4, 0x0400_0000).after(1e7).load(device, 0, 0, 4, 0),
        ),
      ];
    case 'AQA':
      return [
        step('rings', ({ s, device }) => {
          for (const [register, value] of RINGS) s.store(device, 0, register, 4, value);
        }),
      ];
    case 'ASQ':
      // RXQ0 by vector 0, TXQ0 by vector 1.
      return [step('IVAR', ({ s, device }) => s.store(device, 0, 0xe4, 4, 0x0908))];
    case 'ACQ':
      return [];
    case 'enable':
      return [
        step(one.name, ({ s, device }) => s.store(device, 0, 0x100, 4, 2).store(device, 0, 0x400, 4, 2)),
      ];
    case 'work 1':
    case 'work 2':
    case 'work 3':
      return [packets(one.name)];
    default:
      return [one];
  }
});

/** A neighbour in the same group, with bus mastering on while the first is at work. */
export const NEIGHBOUR: readonly Step[] = (() => {
  const opened = before('memory', (c) => {
    const other = c.s.getDevice(c.group, { bdf: '0000:00:05.0' });
    c.other = other;
    c.s
      .deviceInfo(other)
      .regionInfo(other, 0, { size: 0x4000n })
      .regionInfo(other, 7, { size: 0x1000n, flags: 3 });
  });
  const mastering = before(
    'AQA',
    ({ s, other }) => s.configRead(other, 4, 2, 0x0402).configWrite(other, 4, 2, 0x0406),
    opened,
  );
  const quiet = before(
    'unmap DMA',
    ({ s, other }) => s.configRead(other, 4, 2, 0x0406).configWrite(other, 4, 2, 0x0402),
    mastering,
  );
  return before('unset container', ({ s, other }) => s.close(other), quiet);
})();

/** What a life of the device after the first does; `first`: its first thing; `last`: with its eventfd, before it closes. */
export function lifeAgain(
  { s, group }: Context,
  first: (device: Opened) => void,
  last: (eventfd: Opened) => void,
): void {
  const device = s.getDevice(group);
  s.deviceInfo(device);
  s.regionInfo(device, 0, { size: 0x4000n }).regionInfo(device, 7, { size: 0x1000n, flags: 3 });
  s.irqInfo(device, 2, 16);
  first(device);
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] }).setIrqs(device, { index: 2 });
  last(eventfd);
  s.close(device);
}

export const LIVES = ['life 2', 'life 3', 'life 4', 'life 5'] as const;

/** Opened, used and closed five times. */
export const AGAIN: readonly Step[] = CLEAN.flatMap((one) =>
  one.name === 'unset container'
    ? [
        ...LIVES.map((name) =>
          step(name, (c) =>
            lifeAgain(
              c,
              (device) => c.s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0),
              (eventfd) => c.s.close(eventfd),
            ),
          ),
        ),
        one,
      ]
    : [one],
);

/** Without an IOMMU's mappings: a program that looks at the device and goes. */
export const LOOK: readonly Step[] = without([
  'memory',
  'map DMA',
  'bus master',
  'AQA',
  'ASQ',
  'ACQ',
  'enable',
  'work 1',
  'work 2',
  'work 3',
  'stop',
  'bus master off',
  'unmap DMA',
  'free memory',
]);

const WANTED = (1n << BigInt(LYON_MESSAGES.REMOVE)) | (1n << BigInt(LYON_MESSAGES.PM_SUSPEND));

/** About 0000:00:04.0; `value` goes with the messages that have one. */
export function lyonMessage(command: number, value: bigint): Uint8Array {
  const { MSGCAP, PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC, PM_SUSPEND_REPLY } = LYON_ATTRIBUTES;
  const numbers = [
    ...(command === LYON_MESSAGES.REGISTER ? [[MSGCAP, value] as const] : []),
    ...(command === LYON_MESSAGES.PM_SUSPEND_REPLY ? [[PM_SUSPEND_REPLY, value] as const] : []),
    [PCI_DOMAIN, 0n] as const,
    [PCI_BUS, 0n] as const,
    [PCI_SLOT, 4n] as const,
    [PCI_FUNC, 0n] as const,
  ];
  const attributes = numbers.map(([{ type, bytes }, number]) => attribute(type, bytes, number));
  return encodeNetlink({ type: 0x19, flags: 1, sequence: 1, command, attributes });
}

/** The interface of 2010: a domain first, then everything else. */
export const LYON: readonly Step[] = [
  step('netlink', (c) => {
    c.netlink = c.s.openNetlink();
  }),
  step('register', ({ s, netlink }) =>
    s.netlink('send', netlink, lyonMessage(LYON_MESSAGES.REGISTER, WANTED)),
  ),
  step('device', (c) => {
    c.device = c.s.openLyon();
  }),
  step('domain', ({ s, device }) =>
    s.ioctl(device, 'VFIO_DOMAIN_SET', { before: new Uint8Array(Int32Array.from([9]).buffer) }),
  ),
  step('command', ({ s, device }) =>
    s.configRead(device, 4, 2, 0x0402).configWrite(device, 4, 2, 0x0403).configWrite(device, 4, 2, 0x0402),
  ),
  step('suspend', ({ s, netlink }) =>
    s
      .netlink('receive', netlink, lyonMessage(LYON_MESSAGES.PM_SUSPEND, 0n))
      .netlink('send', netlink, lyonMessage(LYON_MESSAGES.PM_SUSPEND_REPLY, 0n)),
  ),
  step('remove', ({ s, netlink }) => s.netlink('receive', netlink, lyonMessage(LYON_MESSAGES.REMOVE, 0n))),
  step('close device', ({ s, device }) => s.close(device)),
  step('close netlink', ({ s, netlink }) => s.close(netlink)),
  step('exit', ({ s }) => s.exit()),
];

export const OTHER_SESSIONS: Readonly<Record<string, readonly Step[]>> = {
  INTX,
  MSI,
  CDEV,
  RESET,
  UNRESETTABLE,
  E1000E,
  NEIGHBOUR,
  AGAIN,
  LOOK,
  LYON,
};
