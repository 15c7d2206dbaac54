// SPDX-License-Identifier: Apache-2.0
/** What a successful ioctl does to the session's state, by its name in C. */
import { IOAS_COPY, IOAS_MAP, IOAS_MAP_FILE, IOAS_UNMAP } from '../abi/iommufd/ioas.js';
import { IRQFD } from '../abi/kvm.js';
import { decode, readU32 } from '../abi/layout.js';
import { LYON_BAR_LEN, LYON_DMA_MAP, LYON_FD, lyonDescriptors } from '../abi/lyon2010/ioctls.js';
import { lyonRegionOffset } from '../abi/lyon2010/regions.js';
import {
  IRQ_SET,
  IRQ_SET_ACTION_TRIGGER,
  IRQ_SET_ACTION_UNMASK,
  IRQ_SET_DATA_EVENTFD,
  irqSetDescriptors,
} from '../abi/vfio/irqs.js';
import { REGION_FLAGS, REGION_INFO } from '../abi/vfio/region-info.js';
import { ROM_REGION } from '../abi/vfio/regions.js';
import { DMA_MAP, DMA_UNMAP, DMA_UNMAP_ALL, DMA_UNMAP_VADDR } from '../abi/vfio/type1.js';
import { type Event, PayloadRole } from '../traces/model.js';
import type { SessionContext } from './change.js';
import type { InterruptRoute } from './interrupts.js';
import { payloadOf } from './payloads.js';

type Effect = (session: SessionContext, event: Event, before: Uint8Array, after: Uint8Array) => void;

const INTX = 0;
const MSI = 1;
const MSIX = 2;
const MAP_VADDR = 4;

/** The recorder says which objects the descriptors of a call were: { kind, object } each. */
function recordedObject(event: Event, position: number): number | undefined {
  const bytes = payloadOf(event, PayloadRole.KIND);
  if (bytes === undefined || bytes.length < position * 8 + 8) return undefined;
  const object = readU32(bytes, position * 8 + 4);
  return object === 0 ? undefined : object;
}

function attach(
  session: SessionContext,
  event: Event,
  fd: number,
  route: InterruptRoute,
  position = 0,
): void {
  const eventfd =
    fd < 0
      ? undefined
      : (recordedObject(event, position) ?? session.descriptors.get(session.processOf(event), fd));
  if (eventfd === undefined) session.interrupts.detach(route.device, route.index, route.vector, route.role);
  else session.interrupts.attach(eventfd, route);
}

const setIrqs: Effect = (session, event, before) => {
  const { flags = 0, index = 0, start = 0, count = 0 } = decode(IRQ_SET, before);
  const device = event.object;
  if (count === 0 && (flags & IRQ_SET_ACTION_TRIGGER) !== 0) session.interrupts.detachAll(device, index);
  else if ((flags & IRQ_SET_DATA_EVENTFD) !== 0) {
    const role = (flags & IRQ_SET_ACTION_UNMASK) !== 0 ? 'unmask' : 'trigger';
    irqSetDescriptors(before).forEach((fd, i) => {
      attach(session, event, fd, { device, index, vector: start + i, role }, i);
    });
  } else return;
  session.notify({ type: 'interrupt', device, index }, event);
};

const regionInfo: Effect = (session, event, _before, after) => {
  const { index, flags = 0, size, offset } = decode(REGION_INFO, after);
  const device = session.device(event.object);
  if (device === undefined || index === undefined || size === undefined || offset === undefined) return;
  device.setRegion({ index, flags, size, offset });
  session.notify({ type: 'region', device, index }, event);
};

function mapped(
  session: SessionContext,
  event: Event,
  ioas: number,
  start: bigint | undefined,
  length: bigint | undefined,
  rest: { readonly address: bigint; readonly readable: boolean; readonly writable: boolean },
): void {
  if (start === undefined || length === undefined) return;
  const mapping = { start, length, ...rest };
  session.dma.map(event.object, ioas, mapping);
  session.notify({ type: 'dma-map', object: event.object, ioas, start, length, mapping }, event);
}

const mapDma: Effect = (session, event, before) => {
  const { flags = 0, vaddr = 0n, iova, size } = decode(DMA_MAP, before);
  // VADDR only tells where the memory of an existing mapping now is.
  if ((flags & MAP_VADDR) !== 0) return;
  mapped(session, event, 0, iova, size, {
    address: vaddr,
    readable: (flags & 1) !== 0,
    writable: (flags & 2) !== 0,
  });
};

function unmapped(session: SessionContext, event: Event, ioas: number, start: bigint, length: bigint): void {
  const mappings = session.dma.unmap(event.object, ioas, start, length);
  session.notify({ type: 'dma-unmap', object: event.object, ioas, start, length, mappings }, event);
}

const unmapDma: Effect = (session, event, before, after) => {
  const { flags = 0, iova = 0n, size = 0n } = decode(DMA_UNMAP, before);
  if ((flags & DMA_UNMAP_VADDR) !== 0) return;
  if ((flags & DMA_UNMAP_ALL) !== 0) {
    const mappings = session.dma.unmapAll(event.object, 0);
    session.notify(
      { type: 'dma-unmap', object: event.object, ioas: 0, start: 0n, length: 1n << 64n, mappings },
      event,
    );
    return;
  }
  // Type 1 before v2 succeeds with 0 when it would have to cut a mapping at its start, and takes the whole at its end.
  const { size: really = size } = decode(DMA_UNMAP, after);
  if (really > size) unmapped(session, event, 0, iova, really);
  else if (really > 0n) unmapped(session, event, 0, iova, size);
};

const ioasMap: Effect = (session, event, before, after) => {
  const { flags = 0, ioas_id = 0, user_va = 0n, length } = decode(IOAS_MAP, before);
  const { iova } = decode(IOAS_MAP, after);
  mapped(session, event, ioas_id, iova, length, {
    address: user_va,
    readable: (flags & 4) !== 0,
    writable: (flags & 2) !== 0,
  });
};

const ioasMapFile: Effect = (session, event, before, after) => {
  const { flags = 0, ioas_id = 0, start = 0n, length } = decode(IOAS_MAP_FILE, before);
  const { iova } = decode(IOAS_MAP_FILE, after);
  mapped(session, event, ioas_id, iova, length, {
    address: start,
    readable: (flags & 4) !== 0,
    writable: (flags & 2) !== 0,
  });
};

const ioasCopy: Effect = (session, event, before, after) => {
  const { flags = 0, dst_ioas_id = 0, src_ioas_id = 0, length, src_iova = 0n } = decode(IOAS_COPY, before);
  const { dst_iova } = decode(IOAS_COPY, after);
  const source = session.dma.space(event.object, src_ioas_id).at(src_iova);
  mapped(session, event, dst_ioas_id, dst_iova, length, {
    address: source === undefined ? 0n : source.address + (src_iova - source.start),
    readable: (flags & 4) !== 0,
    writable: (flags & 2) !== 0,
  });
};

const ioasUnmap: Effect = (session, event, before) => {
  const { ioas_id = 0, iova = 0n, length = 0n } = decode(IOAS_UNMAP, before);
  unmapped(session, event, ioas_id, iova, length);
};

const lyonMap: Effect = (session, event, before, after) => {
  const { vaddr = 0n, size, flags = 0n } = decode(LYON_DMA_MAP, before);
  const { dmaaddr } = decode(LYON_DMA_MAP, after);
  mapped(session, event, 0, dmaaddr, size, { address: vaddr, readable: true, writable: (flags & 1n) !== 0n });
};

/** The 2010 unmap goes by the process's address, not by the IOVA. */
const lyonUnmap: Effect = (session, event, before) => {
  const { vaddr, size } = decode(LYON_DMA_MAP, before);
  for (const mapping of session.dma.space(event.object)) {
    if (mapping.address === vaddr && mapping.length === size) {
      unmapped(session, event, 0, mapping.start, mapping.length);
      return;
    }
  }
};

const lyonVectors =
  (index: number): Effect =>
  (session, event, before) => {
    const device = event.object;
    session.interrupts.detachAll(device, index);
    lyonDescriptors(before).forEach((fd, vector) => {
      attach(session, event, fd, { device, index, vector, role: 'trigger' }, vector);
    });
    session.notify({ type: 'interrupt', device, index }, event);
  };

const lyonLine =
  (role: InterruptRoute['role']): Effect =>
  (session, event, before) => {
    attach(session, event, decode(LYON_FD, before).fd ?? -1, {
      device: event.object,
      index: INTX,
      vector: 0,
      role,
    });
    session.notify({ type: 'interrupt', device: event.object, index: INTX }, event);
  };

const lyonSingleMsi: Effect = (session, event, before) => {
  const { fd = -1 } = decode(LYON_FD, before);
  attach(session, event, fd, { device: event.object, index: MSI, vector: 0, role: 'trigger' });
  session.notify({ type: 'interrupt', device: event.object, index: MSI }, event);
};

/** All that a driver of 2010 hears of a region is its length. */
const lyonBarLength: Effect = (session, event, before, after) => {
  const index = decode(LYON_BAR_LEN, before).bar;
  const length = decode(LYON_BAR_LEN, after).bar;
  const device = session.device(event.object);
  if (device === undefined || index === undefined || length === undefined || index > ROM_REGION) return;
  const { READ, WRITE, MMAP } = REGION_FLAGS.bits;
  const flags = length === 0 ? 0 : index === ROM_REGION ? READ : READ | WRITE | MMAP;
  device.setRegion({ index, flags, size: BigInt(length), offset: lyonRegionOffset(index) });
  session.notify({ type: 'region', device, index }, event);
};

const irqfd: Effect = (session, event, before) => {
  const { fd = -1, flags = 0 } = decode(IRQFD, before);
  const eventfd = recordedObject(event, 0) ?? session.descriptors.get(session.processOf(event), fd);
  if (eventfd !== undefined) session.interrupts.setInKernel(eventfd, (flags & 1) === 0);
};

const effects: Readonly<Record<string, Effect>> = {
  VFIO_DEVICE_GET_REGION_INFO: regionInfo,
  VFIO_DEVICE_SET_IRQS: setIrqs,
  VFIO_IOMMU_MAP_DMA: mapDma,
  VFIO_IOMMU_UNMAP_DMA: unmapDma,
  IOMMU_IOAS_MAP: ioasMap,
  IOMMU_IOAS_MAP_FILE: ioasMapFile,
  IOMMU_IOAS_COPY: ioasCopy,
  IOMMU_IOAS_UNMAP: ioasUnmap,
  KVM_IRQFD: irqfd,
  VFIO_DMA_MAP_IOVA: lyonMap,
  VFIO_DMA_MAP_ANYWHERE: lyonMap,
  VFIO_DMA_UNMAP: lyonUnmap,
  VFIO_EVENTFD_IRQ: lyonLine('trigger'),
  VFIO_IRQ_EOI_EVENTFD: lyonLine('unmask'),
  VFIO_EVENTFDS_MSI: lyonVectors(MSI),
  VFIO_EVENTFDS_MSIX: lyonVectors(MSIX),
  VFIO_EVENTFD_MSI: lyonSingleMsi,
  VFIO_BAR_LEN: lyonBarLength,
};

const NOTHING = new Uint8Array(0);

export function applyIoctl(session: SessionContext, event: Event, name: string): void {
  const effect = effects[name];
  if (effect === undefined || event.errno !== 0) return;
  const before = payloadOf(event, PayloadRole.IN) ?? NOTHING;
  effect(session, event, before, payloadOf(event, PayloadRole.OUT) ?? before);
}
