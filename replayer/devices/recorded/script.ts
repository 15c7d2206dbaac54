// SPDX-License-Identifier: Apache-2.0
/** A recording as what its driver did to one device, and what the device did, in the order of cause and effect. */
import { findIoctl } from '../../../abi/ioctls.js';
import { decode } from '../../../abi/layout.js';
import { IRQ_INDEXES, IRQ_SET } from '../../../abi/vfio/irqs.js';
import { CONFIG_REGION, ROM_REGION } from '../../../abi/vfio/regions.js';
import type { Change } from '../../../session/change.js';
import { dmaBytes } from '../../../session/describe/dma.js';
import { isRedacted, payloadOf } from '../../../session/payloads.js';
import { Session } from '../../../session/state.js';
import { AddressSpaces, type DmaSpace } from '../../../session/story/address-spaces.js';
import { type Event, EventFlag, EventKind, PayloadRole } from '../../../traces/model.js';
import type { Trace } from '../../../traces/reader.js';
import type { IrqRequest, Width } from '../device.js';
import { accessPieces, bytesMoved, type Piece, transferPieces } from './accesses.js';
import { WaitingSteps } from './waiting.js';

interface At {
  /** Number of the recorded event. */
  readonly event: number;
  /** The driver's; 0 for what the device did. */
  readonly thread: number;
  /** When it began, ns. */
  readonly time: number;
}

interface AccessPlace {
  readonly region: number;
  readonly offset: number;
  readonly width: Width;
}
export type ReadStep = At & AccessPlace & { readonly what: 'read'; readonly value: bigint };
export type WriteStep = At &
  AccessPlace & {
    readonly what: 'write';
    /** Undefined: the recorder did not see it. */
    readonly value: bigint | undefined;
  };
export type ConfigStep = At & {
  readonly what: 'config-read' | 'config-write';
  readonly offset: number;
  readonly bytes: Uint8Array;
};
export type IrqStep = At & { readonly what: 'irqs'; readonly request: IrqRequest };
export type ResetStep = At & { readonly what: 'reset' };
export type DmaStep = At & {
  readonly what: 'dma';
  /** Read and written by the device; filled by the driver, as was found when memory was compared; held when it was mapped. */
  readonly op: 'read' | 'write' | 'fill' | 'held';
  /** `seen`: each access. Else memory was compared, and `ambiguous`: the other side may have written it. */
  readonly how: 'seen' | 'found' | 'ambiguous';
  readonly iova: bigint;
  readonly bytes: Uint8Array;
  readonly space: DmaSpace | undefined;
};
export type InterruptStep = At & {
  readonly what: 'interrupt';
  /** VFIO's index. */
  readonly index: number;
  readonly vector: number;
  readonly level: boolean;
};
export type MapStep = At & {
  readonly what: 'map' | 'unmap';
  readonly space: DmaSpace;
  readonly iova: bigint;
  readonly size: bigint;
};
export type Step =
  | ReadStep
  | WriteStep
  | ConfigStep
  | IrqStep
  | ResetStep
  | DmaStep
  | InterruptStep
  | MapStep;

const { INTX } = IRQ_INDEXES.values;
const DMA_OPS = ['read', 'write', 'fill', 'held'] as const;
const DMA_HOWS = ['seen', 'found', 'ambiguous'] as const;
/** Of one eventfd's counter; more in one read is nothing that a script could use. */
const INTERRUPTS_MOST = 64;
const NOTHING = new Uint8Array();

export interface ScriptOptions {
  readonly objects: ReadonlySet<number>;
  /** Where the MSI-X table and pending bits are: they are the function's, not the device's. */
  readonly isTable: (region: number, offset: number) => boolean;
}

/** Whether the recording says when the device interrupted; otherwise it is known only when the driver woke. */
export function hasInterrupts(trace: Trace): boolean {
  for (const { kinds } of trace.chunks())
    if ((kinds & (1n << BigInt(EventKind.INTERRUPT))) !== 0n) return true;
  return false;
}

export function* readScript(trace: Trace, options: ScriptOptions): Generator<Step, void, undefined> {
  const reader = new ScriptReader(trace, options);
  const waiting = new WaitingSteps<DmaStep | InterruptStep>(
    (step) => step.what === 'dma' && step.how !== 'seen',
  );
  for (const event of trace.events()) {
    for (const step of reader.steps(event)) {
      if (step.what === 'dma' || step.what === 'interrupt') {
        const overdue = waiting.add(step);
        if (overdue !== undefined) yield overdue;
        continue;
      }
      yield* waiting.due(step.time);
      yield step;
    }
  }
  yield* waiting.rest();
}

class ScriptReader {
  readonly #session: Session;
  readonly #spaces: AddressSpaces;
  readonly #options: ScriptOptions;
  readonly #exact: boolean;
  #changes: Change[] = [];
  /** By container or iommufd: the device that was told something last. */
  readonly #told = new Map<number, number>();
  /** By eventfd: interrupts that a wake-up has told of and no read has. */
  readonly #woken = new Map<number, number>();

  constructor(trace: Trace, options: ScriptOptions) {
    this.#options = options;
    this.#exact = hasInterrupts(trace);
    this.#session = new Session(trace.definitions, (change) => this.#changes.push(change));
    this.#spaces = new AddressSpaces(this.#session);
  }

  steps(event: Event): readonly Step[] {
    switch (event.kind) {
      case EventKind.LOAD:
      case EventKind.STORE:
      case EventKind.UPDATE:
        if (event.kind !== EventKind.LOAD) this.#tell(event.object);
        return this.#isMine(event) ? this.#access(event) : [];
      case EventKind.READ:
      case EventKind.WRITE: {
        this.#session.apply(event);
        if (event.kind === EventKind.WRITE) this.#tell(event.object);
        return this.#isMine(event) ? this.#transfer(event) : this.#eventfd(event);
      }
      case EventKind.WAKE:
        return this.#eventfd(event);
      case EventKind.IOCTL:
        return this.#ioctl(event);
      case EventKind.DMA:
        return event.errno === 0 && !isRedacted(event) ? this.#dma(event) : [];
      case EventKind.INTERRUPT:
        return this.#isMine(event)
          ? [
              {
                what: 'interrupt',
                ...at(event),
                index: event.op,
                vector: Number(event.offset & 0xffffn),
                level: event.value !== 0n,
              },
            ]
          : [];
      default:
        this.#session.apply(event);
        return [];
    }
  }

  #isMine({ object }: Event): boolean {
    return this.#options.objects.has(object);
  }

  #access(event: Event): readonly Step[] {
    const region = event.op & 0xff;
    const offset = Number(event.offset);
    if (region > ROM_REGION || event.offset > 2n ** 48n || event.errno !== 0) return [];
    const { kind, flags } = event;
    const unknown = (flags & EventFlag.UNKNOWN) !== 0 || (kind !== EventKind.LOAD && isRedacted(event));
    if (kind !== EventKind.STORE && (flags & EventFlag.INTENT) !== 0) return [];
    const bytes = unknown ? new Uint8Array((event.op >>> 8) & 0xff) : bytesMoved(event);
    const pieces = accessPieces(offset, bytes);
    if (kind === EventKind.LOAD) return unknown ? [] : this.#reads(event, region, pieces);
    const writes = this.#writes(event, region, pieces, unknown);
    if (kind === EventKind.STORE || unknown) return writes;
    const before = bytesMoved({ ...event, value: event.result });
    return [...this.#reads(event, region, accessPieces(offset, before)), ...writes];
  }

  #transfer(event: Event): readonly Step[] {
    const place = this.#session.device(event.object)?.locate(event.offset);
    const bytes = bytesMoved(event);
    if (place === undefined || bytes.length === 0 || place.offset > 2n ** 48n) return [];
    const reading = event.kind === EventKind.READ;
    const offset = Number(place.offset);
    if (place.index === CONFIG_REGION)
      return [{ what: reading ? 'config-read' : 'config-write', ...at(event), offset, bytes }];
    if (place.index >= ROM_REGION) return [];
    const pieces = transferPieces(offset, bytes);
    return reading
      ? this.#reads(event, place.index, pieces)
      : this.#writes(event, place.index, pieces, isRedacted(event));
  }

  #reads(event: Event, region: number, pieces: readonly Piece[]): readonly ReadStep[] {
    return this.#devices(region, pieces).map((piece) => ({ what: 'read', ...at(event), region, ...piece }));
  }

  #writes(event: Event, region: number, pieces: readonly Piece[], unknown: boolean): readonly WriteStep[] {
    return this.#devices(region, pieces).map(({ offset, width, value }) => ({
      what: 'write',
      ...at(event),
      region,
      offset,
      width,
      value: unknown ? undefined : value,
    }));
  }

  #devices(region: number, pieces: readonly Piece[]): readonly Piece[] {
    return pieces.filter(({ offset }) => !this.#options.isTable(region, offset));
  }

  #dma(event: Event): readonly Step[] {
    const op = DMA_OPS[event.op & 0xff];
    const how = DMA_HOWS[(event.op >>> 8) & 0xff];
    if (op === undefined || how === undefined) return [];
    const step = { what: 'dma', ...at(event), op, how, iova: event.offset, bytes: dmaBytes(event) } as const;
    if (how === 'seen') return this.#isMine(event) ? [{ ...step, space: this.#spaces.of(event.object) }] : [];
    // Memory that was compared is of a space, not of a device: of its devices, that acted which was told something last.
    const told = this.#told.get(event.object);
    if (told !== undefined && !this.#options.objects.has(told)) return [];
    for (const device of this.#options.objects) {
      const space = this.#spaces.of(device);
      if (space?.object === event.object) return [{ ...step, space }];
    }
    return [];
  }

  /** A device is told something: what happens in the memory of its space is taken for its doing. */
  #tell(device: number): void {
    const space = this.#spaces.of(device);
    if (space !== undefined) this.#told.set(space.object, device);
  }

  #ioctl(event: Event): readonly Step[] {
    const session = this.#session;
    this.#changes = [];
    const objectKind = session.names.kind(event.object);
    const name = findIoctl(objectKind, event.op)?.name ?? '';
    const before = payloadOf(event, PayloadRole.IN) ?? NOTHING;
    const after = payloadOf(event, PayloadRole.OUT) ?? before;
    session.apply(event);
    const ok = event.errno === 0;
    const { object } = event;
    this.#spaces.apply({
      event,
      process: session.processOf(event),
      ok,
      name,
      object,
      objectKind,
      before,
      after,
    });
    if (!ok) return [];
    if (this.#isMine(event)) {
      if (name === 'VFIO_DEVICE_RESET') return [{ what: 'reset', ...at(event) }];
      if (name === 'VFIO_DEVICE_SET_IRQS') {
        const { index = 0, start = 0, count = 0, flags = 0 } = decode(IRQ_SET, before);
        return [{ what: 'irqs', ...at(event), request: { index, start, count, flags } }];
      }
    }
    return this.#changes.flatMap((change): Step[] => {
      if (change.type !== 'dma-map' && change.type !== 'dma-unmap') return [];
      const what = change.type === 'dma-map' ? 'map' : 'unmap';
      const space = this.#spaces.space(change.object, change.ioas);
      return [{ what, ...at(event), space, iova: change.start, size: change.length }];
    });
  }

  /** Without the device's own word for it, an interrupt came before the driver woke. */
  #eventfd(event: Event): readonly Step[] {
    if (this.#exact || event.errno !== 0 || event.kind === EventKind.WRITE) return [];
    const route = this.#session.interrupts.of(event.object);
    if (route === undefined || route.role !== 'trigger' || !this.#options.objects.has(route.device))
      return [];
    const told = this.#woken.get(event.object) ?? 0;
    const isRead = event.kind === EventKind.READ;
    const counter = isRead ? Math.min(INTERRUPTS_MOST, Number(BigInt.asUintN(32, event.value))) : 1;
    this.#woken.set(event.object, isRead ? 0 : 1);
    const { index, vector } = route;
    const step = {
      what: 'interrupt',
      ...at(event),
      time: event.time + event.duration,
      index,
      vector,
    } as const;
    return Array.from({ length: Math.max(0, counter - told) }, () => [
      { ...step, level: true },
      ...(index === INTX ? [{ ...step, level: false }] : []),
    ]).flat();
  }
}

function at({ number, thread, time }: Event): At {
  return { event: number, thread, time };
}
