// SPDX-License-Identifier: Apache-2.0
/**
 * The phases of a session: open, reset, config, BAR init, queues, steady, teardown. A device works from its first
 * doorbell (of an NVMe controller: of an I/O queue) to the last one before something is undone for good. One of which no
 * doorbell is known works once nothing is set up any more.
 */
import { decode } from '../../../abi/layout.js';
import type { PlacedRegister } from '../../../abi/register-access.js';
import { IRQ_SET, IRQ_SET_ACTION_TRIGGER } from '../../../abi/vfio/irqs.js';
import { type Event, EventKind } from '../../../traces/model.js';
import type { Trace } from '../../../traces/reader.js';
import type { AccessHandler, AccessPoint, EventfdHandler, EventfdPoint } from '../bulk.js';
import { controllerOf } from '../controllers/choose.js';
import { isDoorbell } from '../controllers/controller.js';
import { COMMAND, COMMAND_MASTER, covered, type DeviceLife } from '../device-life.js';
import type { Row } from '../row.js';
import type { ConfigStep, ControllerStep, IoctlStep, StepOf } from '../steps.js';
import { Story } from '../story.js';
import { followAll, type StoryWatch } from '../watch.js';
import { DevicePhases } from './device-phases.js';
import type { PhaseSpan } from './phase.js';
import type { Mark, Span } from './set-up.js';

/** The admin queue's (NVMe 1.4 §3.1.16, §3.1.17). */
const ADMIN_DOORBELL = /^(SQ0T|CQ0H)DBL$/;
/** The end of a descriptor ring, which is set up with it before it is used. */
const RING_TAIL = /^[TR]DT(\[\d+\])?$/;

const RESETS: ReadonlySet<string> = new Set(['VFIO_DEVICE_RESET', 'VFIO_DEVICE_PCI_HOT_RESET']);
/** Interrupts of 2010's interface. */
const EVENTFDS = /^VFIO_EVENTFD/;

interface Followed {
  readonly phases: DevicePhases;
  /** The class is known: its registers tell when it gets its queues, not interrupts and what is mapped for DMA. */
  readonly known: boolean;
  /** By the name of a ring's tail: how many resets there had been when it was last set. */
  readonly tails: Map<string, number>;
}

export class Phases implements StoryWatch {
  readonly #story: Story;
  readonly #devices = new Map<DeviceLife, Followed>();
  /** The first call on what a device is opened through, since the last device was opened. */
  #opening: Span | undefined;

  constructor(story: Story) {
    this.#story = story;
  }

  /** Once the recording is over: device by device, in time. */
  spans(): readonly PhaseSpan[] {
    return [...this.#devices.values()].flatMap(({ phases }) => phases.spans());
  }

  #of(device: DeviceLife): Followed {
    let followed = this.#devices.get(device);
    if (followed === undefined) {
      const { event, time } = device.opened;
      followed = {
        phases: new DevicePhases(device),
        known: controllerOf(device.definition) !== undefined,
        tails: new Map(),
      };
      followed.phases.mark('open', this.#opening ?? { event, start: time, end: time });
      this.#opening = undefined;
      this.#devices.set(device, followed);
    }
    return followed;
  }

  #mark(device: DeviceLife, mark: Mark, event: Event): void {
    this.#of(device).phases.mark(mark, spanOf(event));
  }

  readonly on: NonNullable<StoryWatch['on']> = {
    open: ({ event }) => {
      this.#opening ??= spanOf(event);
    },
    ioctl: (step) => this.#ioctl(step),
    'config-read': ({ device, event }) => this.#mark(device, 'config', event),
    'config-write': (step) => this.#mark(step.device, configMark(step), step.event),
    'region-read': ({ device, event }) => this.#mark(device, 'access', event),
    'region-write': ({ device, region, offset, event }) =>
      this.#mark(device, storeMark(device.state.lookup(region)(offset)), event),
    map: ({ device, event }) => this.#mark(device, 'access', event),
    memory: ({ regions, event }) => this.#unmapped(regions, event),
    controller: (step) => this.#mark(step.device, controllerMark(step), step.event),
    'dma-map': ({ space, event }) => {
      for (const device of this.#story.devicesIn(space)) this.#mark(device, this.#unlessKnown(device), event);
    },
    'dma-unmap': ({ space, event }) => {
      for (const device of this.#devices.keys())
        if (this.#story.spaces.of(device.id) === space) this.#mark(device, 'ending', event);
    },
    close: ({ objects, event }) => this.#gone(objects, event),
    exit: ({ gone, event }) => this.#gone(gone, event),
  };

  #ioctl({ name, device, before, event, ok }: IoctlStep): void {
    if (device === undefined) this.#opening ??= spanOf(event);
    else if (ok || !RESETS.has(name)) {
      const mark = ioctlMark(name, before);
      this.#mark(device, mark === 'queues' ? this.#unlessKnown(device) : mark, event);
    }
  }

  #unlessKnown(device: DeviceLife): Mark {
    return this.#of(device).known ? 'other' : 'queues';
  }

  #unmapped(regions: StepOf<'memory'>['regions'], event: Event): void {
    for (const { object } of regions) {
      const device = this.#story.devices.get(object);
      if (device !== undefined) this.#mark(device, 'ending', event);
    }
  }

  /** The device, or what it was opened through. */
  #gone(objects: readonly number[], event: Event): void {
    const { spaces } = this.#story;
    for (const device of this.#devices.keys()) {
      const group = spaces.group(device.id);
      const through = [device.id, group, spaces.container(group), spaces.iommufd(device.id)];
      if (objects.some((object) => object !== 0 && through.includes(object)))
        this.#mark(device, 'ending', event);
    }
  }

  access({ device, register, direction }: AccessPoint): AccessHandler {
    const { phases, tails } = this.#of(device);
    const name = register?.name ?? '';
    const mark = direction === 'load' ? 'access' : storeMark(register);
    if (mark !== 'work' || !RING_TAIL.test(name)) return (row) => phases.mark(mark, this.#span(row));
    return (row) => {
      const resets = device.resets.length;
      phases.mark(tails.get(name) === resets ? 'work' : 'queues', this.#span(row));
      tails.set(name, resets);
    };
  }

  /** A row's duration costs as much as the rest: an access takes none. */
  #span(row: Row): Span {
    const time = this.#story.trace.ticksToNs(row.ticks);
    return { event: row.event, start: time, end: time };
  }

  eventfd({ route }: EventfdPoint): EventfdHandler | undefined {
    const device = route === undefined ? undefined : this.#story.devices.get(route.device);
    if (device === undefined || route?.role !== 'trigger') return undefined;
    const { phases } = this.#of(device);
    return (row, action) => {
      if (action !== 'write') phases.mark('other', this.#span(row));
    };
  }

  end(): void {
    for (const { phases } of this.#devices.values()) phases.end();
  }
}

function spanOf({ number, time, duration }: Event): Span {
  return { event: number, start: time, end: time + duration };
}

function ioctlMark(name: string, before: Uint8Array): Mark {
  if (RESETS.has(name)) return 'reset';
  if (EVENTFDS.test(name)) return 'queues';
  if (name !== 'VFIO_DEVICE_SET_IRQS') return 'open';
  const { flags = 0, count = 0 } = decode(IRQ_SET, before);
  if ((flags & IRQ_SET_ACTION_TRIGGER) === 0) return 'other';
  return count === 0 ? 'ending' : 'queues';
}

function configMark(step: ConfigStep): Mark {
  if (step.device.resets.at(-1)?.event === step.event.number) return 'reset';
  const command = covered(step, COMMAND, 2, undefined);
  const wasOn = ((step.held[COMMAND - step.offset] ?? 0) & COMMAND_MASTER) !== 0;
  return command !== undefined && wasOn && (command & COMMAND_MASTER) === 0 ? 'ending' : 'config';
}

function storeMark(register: PlacedRegister | undefined): Mark {
  const name = register?.name ?? '';
  if (!isDoorbell(name)) return 'access';
  return ADMIN_DOORBELL.test(name) ? 'admin' : 'work';
}

function controllerMark({ what, event }: ControllerStep): Mark {
  // How somebody else left it.
  if (what === 'enabled' && (event.kind === EventKind.LOAD || event.kind === EventKind.READ)) return 'access';
  switch (what) {
    case 'enabled':
    case 'address':
      return 'queues';
    case 'disabled':
    case 'stopped':
    case 'reset':
      return 'reset';
  }
}

/** In a pass of its own. */
export function phasesOf(trace: Trace): readonly PhaseSpan[] {
  const story = new Story(trace);
  const phases = new Phases(story);
  followAll(story, [phases]);
  return phases.spans();
}
