// SPDX-License-Identifier: Apache-2.0
/**
 * The phases of a session, by what the driver was last seen to begin: a later step of bringing a device up never leads back to an
 * earlier one, except by opening a device anew.
 */
import { isDevice } from '../abi/object-kinds.js';
import { CONFIG_REGION } from '../abi/vfio/regions.js';
import { EventKind } from '../traces/model.js';
import { type EventName, isAccess } from './groups/event-name.js';
import type { Session } from './state.js';
import { isDoorbell } from './story/controllers/controller.js';

/**
 * `open`: containers, groups and devices are found and opened; `reset`: a reset and what follows until the driver goes on; `config`:
 * configuration space; `bar`: BARs are mapped and first touched; `queues`: interrupts and queues are set up; `steady`: doorbells of
 * queues for I/O; `teardown`: the device is stopped, interrupts are switched off, descriptors closed.
 */
export const PHASES = ['open', 'reset', 'config', 'bar', 'queues', 'steady', 'teardown'] as const;
export type Phase = (typeof PHASES)[number];

/** What the events of a group say of the phase; `stop?`: it depends on the value. */
export type PhaseHint = Phase | 'stop?' | 'admin' | undefined;

const OPENING: ReadonlySet<string> = new Set([
  'VFIO_GROUP_GET_DEVICE_FD',
  'VFIO_GROUP_SET_CONTAINER',
  'VFIO_SET_IOMMU',
  'VFIO_DEVICE_BIND_IOMMUFD',
]);
const RESETS: ReadonlySet<string> = new Set([
  'VFIO_DEVICE_RESET',
  'VFIO_DEVICE_PCI_HOT_RESET',
  'VFIO_RESET_FUNCTION',
]);
const INTERRUPTS: ReadonlySet<string> = new Set([
  'VFIO_DEVICE_SET_IRQS',
  'VFIO_EVENTFD_IRQ',
  'VFIO_EVENTFDS_MSI',
  'VFIO_EVENTFDS_MSIX',
]);
/** Registers that say where a queue lies: NVMe, Intel Ethernet, virtio. */
const QUEUE_ADDRESS = /^(ASQ|ACQ|AQA)$|^[TR]D(BAL|BAH|LEN)(\[\d+\])?$|^queue_(desc|driver|device)$/;
/** Registers by which a device is stopped. */
const STOPPING = /^(CC|device_status)$/;
/** NVMe's administration queue creates the others. */
const ADMINISTRATION = /^[SC]Q0[TH]DBL$/;

export function phaseHint(session: Session, name: EventName): PhaseHint {
  const { kind, operation, region, register, object } = name;
  if (isAccess(kind)) {
    if (kind === EventKind.LOAD) return 'bar';
    if (QUEUE_ADDRESS.test(register)) return 'queues';
    if (ADMINISTRATION.test(register)) return 'admin';
    if (isDoorbell(register)) return 'steady';
    return STOPPING.test(register) ? 'stop?' : 'bar';
  }
  switch (kind) {
    case EventKind.OPEN:
      return 'open';
    case EventKind.CLOSE:
      return isDevice(session.names.kind(object)) ? 'teardown' : undefined;
    case EventKind.MMAP:
      return isDevice(session.names.kind(object)) ? 'bar' : undefined;
    case EventKind.EXIT:
      return 'teardown';
    case EventKind.READ:
    case EventKind.WRITE:
      return region < 0 ? undefined : region === CONFIG_REGION ? 'config' : 'bar';
    case EventKind.IOCTL:
      if (OPENING.has(operation)) return 'open';
      if (RESETS.has(operation)) return 'reset';
      return INTERRUPTS.has(operation) ? 'stop?' : undefined;
    default:
      return undefined;
  }
}

/** What 'stop?' turns out to be. `value`: the low word that was stored, or a SET_IRQS's count. */
export function stopHint(
  { kind, register, operation }: EventName,
  value: number | undefined,
  phase: Phase,
): 'queues' | 'teardown' | undefined {
  if (isAccess(kind)) {
    const stops = register === 'CC' ? ((value ?? 0) & 1) === 0 : value === 0;
    return stops && phase === 'steady' ? 'teardown' : undefined;
  }
  if (operation !== 'VFIO_DEVICE_SET_IRQS' || value !== 0) return 'queues';
  return phase === 'steady' ? 'teardown' : undefined;
}

export interface PhaseSpan {
  readonly phase: Phase;
  /** ns since the start of the recording. */
  readonly from: number;
  to: number;
}

/** Who goes through a file that enters and leaves phases without end sees the last ones run together. */
const SPANS_MAX = 1000;

export class PhaseTracker {
  phase: Phase = 'open';
  /** In order; a session with two devices may have a phase twice. */
  readonly spans: PhaseSpan[] = [];

  /** `time`: ns since the start of the recording. True: another phase begins. */
  enter(hint: Phase | 'admin', time: number): boolean {
    const next = this.#next(hint);
    if (this.spans.length === 0) this.spans.push({ phase: this.phase, from: time, to: time });
    if (next === this.phase) return false;
    (this.spans.at(-1) as PhaseSpan).to = time;
    if (this.spans.length < SPANS_MAX) this.spans.push({ phase: next, from: time, to: time });
    this.phase = next;
    return true;
  }

  /** The last event that was seen. */
  until(time: number): void {
    const last = this.spans.at(-1);
    if (last === undefined) this.spans.push({ phase: this.phase, from: 0, to: time });
    else last.to = time;
  }

  #next(hint: Phase | 'admin'): Phase {
    const { phase } = this;
    switch (hint) {
      case 'open':
        return phase === 'teardown' || phase === 'open' ? 'open' : phase;
      case 'reset':
        return phase === 'open' || phase === 'config' || phase === 'bar' ? 'reset' : phase;
      case 'admin':
        return phase === 'steady' || phase === 'teardown' ? phase : 'queues';
      case 'steady':
        return 'steady';
      case 'teardown':
        return 'teardown';
      default:
        return phase === 'teardown' || PHASES.indexOf(hint) < PHASES.indexOf(phase) ? phase : hint;
    }
  }
}
