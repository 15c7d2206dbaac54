// SPDX-License-Identifier: Apache-2.0
/** The arguments of the interface of 2010: descriptors, and memory that is named by its address. */
import { decode, readU32 } from '../../abi/layout.js';
import { LYON_DMA_MAP, LYON_EVENTFDS, LYON_FD } from '../../abi/lyon2010/ioctls.js';
import { payloadOf } from '../../session/payloads.js';
import { type Event, PayloadRole } from '../../traces/model.js';
import type { Handling, Patch, Remapping } from './handling.js';

const DESCRIPTOR = 'a descriptor that the replay does not have';
const POSTING = 'a call of June 2010, which later versions do not have';

/** The descriptor at `at`, the recorder's `position`-th; false when there is none for it here. */
function putDescriptor(
  bytes: Uint8Array,
  at: number,
  position: number,
  remapping: Remapping,
  event: Event,
): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const fd = view.getInt32(at, true);
  if (fd < 0) return true;
  const kinds = payloadOf(event, PayloadRole.KIND);
  const object =
    kinds !== undefined && kinds.length >= position * 8 + 8 ? readU32(kinds, position * 8 + 4) : 0;
  const mapped = object === 0 ? remapping.descriptor(event, fd) : remapping.eventfd(object);
  if (mapped === undefined) return false;
  view.setInt32(at, mapped, true);
  return true;
}

const one: Patch = (bytes, remapping, event) =>
  bytes.length >= LYON_FD.size && putDescriptor(bytes, 0, 0, remapping, event) ? undefined : DESCRIPTOR;

const list: Patch = (bytes, remapping, event) => {
  const { count = 0 } = decode(LYON_EVENTFDS, bytes);
  for (let i = 0; i < count && 8 + 4 * i <= bytes.length; i++)
    if (!putDescriptor(bytes, 4 + 4 * i, i, remapping, event)) return DESCRIPTOR;
  return undefined;
};

function putAddress(bytes: Uint8Array, address: bigint): void {
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length).setBigUint64(0, address, true);
}

/** Answered, it is something that no later version does; refused, it is refused again. */
const posting: Patch = (_bytes, _remapping, event) => (event.errno === 0 ? POSTING : undefined);

export const LYON_HANDLING: Readonly<Record<string, Handling>> = {
  VFIO_DOMAIN_SET: { patch: one },
  VFIO_EVENTFD_IRQ: { patch: one },
  VFIO_IRQ_EOI_EVENTFD: { patch: one },
  VFIO_EVENTFDS_MSI: { patch: list },
  VFIO_EVENTFDS_MSIX: { patch: list },
  VFIO_EVENTFD_MSI: { patch: () => POSTING },
  VFIO_DMA_MASK: { patch: posting },
  VFIO_DMA_MAP_ANYWHERE: { patch: posting },
  VFIO_DMA_MAP_IOVA: {
    patch: (bytes, remapping, event) => {
      const { dmaaddr = 0n, size = 0n } = decode(LYON_DMA_MAP, bytes);
      if (event.errno === 0) putAddress(bytes, remapping.mapMemory(event.object, 0, dmaaddr, size));
      return undefined;
    },
  },
  VFIO_DMA_UNMAP: {
    patch: (bytes, remapping, event) => {
      const { vaddr = 0n, size = 0n } = decode(LYON_DMA_MAP, bytes);
      const found = remapping.mappedAt(event.object, vaddr, size);
      if (found !== undefined) putAddress(bytes, found.address);
      return undefined;
    },
    learn: (before, _recorded, _seen, remapping, event) => {
      const { vaddr = 0n, size = 0n } = decode(LYON_DMA_MAP, before);
      const found = remapping.mappedAt(event.object, vaddr, size);
      if (found !== undefined) remapping.unmapMemory(event.object, 0, found.iova, size);
    },
  },
};
