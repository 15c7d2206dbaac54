// SPDX-License-Identifier: Apache-2.0
/**
 * What in the argument of a recorded ioctl belongs to the recorded process (descriptors, addresses, ids, the device's
 * name) and takes another value in a replay; and which answers are the machine's own and are not compared.
 */
import { HWPT_ALLOC } from '../../abi/iommufd/hwpt.js';
import {
  DESTROY,
  IOAS_ALLOC,
  IOAS_ALLOW_IOVAS,
  IOAS_COPY,
  IOAS_IOVA_RANGES,
  IOAS_MAP,
  IOAS_MAP_FIXED_IOVA,
  IOAS_UNMAP,
  VFIO_IOAS,
} from '../../abi/iommufd/ioas.js';
import { decode, encodeInto, type Layout, type PartialValues, readU32 } from '../../abi/layout.js';
import { ATTACH_IOMMUFD_PT, BIND_IOMMUFD, IOEVENTFD } from '../../abi/vfio/device.js';
import { SET_CONTAINER } from '../../abi/vfio/group.js';
import { IRQ_SET, IRQ_SET_DATA_EVENTFD } from '../../abi/vfio/irqs.js';
import { DMA_MAP, DMA_UNMAP } from '../../abi/vfio/type1.js';
import { payloadOf } from '../../session/payloads.js';
import { PayloadRole } from '../../traces/model.js';
import type { Handling, Learn, Patch } from './handling.js';
import { LYON_HANDLING } from './lyon-arguments.js';

const MAP_VADDR = 4;
const UNMAP_ALL = 2;
const DESCRIPTOR = 'a descriptor that the replay does not have';

function put<L extends Layout>(layout: L, bytes: Uint8Array, values: PartialValues<L>): void {
  encodeInto(layout, values, bytes, 0);
}

const setIrqs: Patch = (bytes, remapping, event) => {
  const { flags = 0, count = 0 } = decode(IRQ_SET, bytes);
  if ((flags & IRQ_SET_DATA_EVENTFD) === 0) return undefined;
  const kinds = payloadOf(event, PayloadRole.KIND);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < count && IRQ_SET.size + i * 4 + 4 <= bytes.length; i++) {
    const at = IRQ_SET.size + i * 4;
    if (view.getInt32(at, true) < 0) continue;
    // The recorder says which eventfd each of them was: { kind, object }.
    const object = kinds !== undefined && kinds.length >= i * 8 + 8 ? readU32(kinds, i * 8 + 4) : 0;
    const fd =
      object === 0 ? remapping.descriptor(event, view.getInt32(at, true)) : remapping.eventfd(object);
    if (fd === undefined) return DESCRIPTOR;
    view.setInt32(at, fd, true);
  }
  return undefined;
};

/** Ids of an iommufd: those that the replay made have other numbers. */
function ids(layout: Layout, ...names: readonly string[]): Patch {
  return (bytes, remapping, event) => {
    const held = decode(layout, bytes) as Readonly<Record<string, number | bigint | undefined>>;
    for (const name of names) {
      const id = remapping.id(event.object, Number(held[name] ?? 0));
      if (id !== undefined) put(layout, bytes, { [name]: id });
    }
    return undefined;
  };
}

function learnId(layout: Layout, name: string): Learn {
  return (_before, recorded, seen, remapping, event) => {
    const was = (decode(layout, recorded) as Readonly<Record<string, unknown>>)[name];
    const is = (decode(layout, seen) as Readonly<Record<string, unknown>>)[name];
    if (typeof was === 'number' && typeof is === 'number') remapping.learnId(event.object, was, is);
  };
}

const HANDLING: Readonly<Record<string, Handling>> = {
  VFIO_GROUP_SET_CONTAINER: {
    patch: (bytes, remapping, event) => {
      const fd = remapping.descriptor(event, decode(SET_CONTAINER, bytes).fd ?? -1);
      if (fd === undefined) return DESCRIPTOR;
      put(SET_CONTAINER, bytes, { fd });
      return undefined;
    },
  },
  VFIO_DEVICE_BIND_IOMMUFD: {
    patch: (bytes, remapping, event) => {
      const fd = remapping.descriptor(event, decode(BIND_IOMMUFD, bytes).iommufd ?? -1);
      if (fd === undefined) return DESCRIPTOR;
      put(BIND_IOMMUFD, bytes, { iommufd: fd });
      return undefined;
    },
    ignore: ['out_devid'],
  },
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: { patch: ids(ATTACH_IOMMUFD_PT, 'pt_id'), ignore: ['pt_id'] },
  VFIO_DEVICE_SET_IRQS: { patch: setIrqs },
  VFIO_DEVICE_IOEVENTFD: {
    patch: (bytes, remapping, event) => {
      const { fd = -1 } = decode(IOEVENTFD, bytes);
      if (fd < 0) return undefined;
      const mapped = remapping.descriptor(event, fd);
      if (mapped === undefined) return DESCRIPTOR;
      put(IOEVENTFD, bytes, { fd: mapped });
      return undefined;
    },
  },
  // Where a region lies in the descriptor is the kernel's choice.
  VFIO_DEVICE_GET_REGION_INFO: { ignore: ['offset', 'cap_offset'] },
  VFIO_DEVICE_GET_INFO: { ignore: ['cap_offset'] },
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: { ignore: ['count', 'argsz'] },
  VFIO_DEVICE_PCI_HOT_RESET: { patch: () => 'a hot reset reaches devices that the session is not about' },
  VFIO_IOMMU_GET_INFO: { ignore: ['argsz', 'flags', 'iova_pgsizes', 'cap_offset'] },
  VFIO_IOMMU_MAP_DMA: {
    patch: (bytes, remapping, event) => {
      const { flags = 0, iova = 0n, size = 0n } = decode(DMA_MAP, bytes);
      if ((flags & MAP_VADDR) !== 0) return 'the address of memory that is mapped already';
      put(DMA_MAP, bytes, { vaddr: remapping.mapMemory(event.object, 0, iova, size) });
      return undefined;
    },
  },
  VFIO_IOMMU_UNMAP_DMA: {
    learn: (before, _recorded, _seen, remapping, event) => {
      const { flags = 0, iova = 0n, size = 0n } = decode(DMA_UNMAP, before);
      if ((flags & UNMAP_ALL) !== 0) remapping.unmapMemory(event.object, 0, 0n, 1n << 64n);
      else if ((flags & MAP_VADDR) === 0) remapping.unmapMemory(event.object, 0, iova, size);
    },
  },
  IOMMU_IOAS_ALLOC: { learn: learnId(IOAS_ALLOC, 'out_ioas_id'), ignore: ['out_ioas_id'] },
  IOMMU_HWPT_ALLOC: {
    patch: ids(HWPT_ALLOC, 'pt_id'),
    learn: learnId(HWPT_ALLOC, 'out_hwpt_id'),
    ignore: ['out_hwpt_id'],
  },
  IOMMU_IOAS_MAP: {
    patch: (bytes, remapping, event) => {
      const { ioas_id = 0, flags = 0, length = 0n, iova: asked = 0n } = decode(IOAS_MAP, bytes);
      // Where the kernel chose an IOVA, the device was told that one: here it is asked for.
      const answer = payloadOf(event, PayloadRole.OUT);
      const { iova = asked } = answer === undefined || event.errno !== 0 ? {} : decode(IOAS_MAP, answer);
      const user_va = remapping.mapMemory(event.object, ioas_id, iova, length);
      put(IOAS_MAP, bytes, { user_va, iova, flags: event.errno === 0 ? flags | IOAS_MAP_FIXED_IOVA : flags });
      return ids(IOAS_MAP, 'ioas_id')(bytes, remapping, event);
    },
  },
  IOMMU_IOAS_MAP_FILE: { patch: () => 'memory of a file that is not here' },
  IOMMU_IOAS_COPY: { patch: ids(IOAS_COPY, 'dst_ioas_id', 'src_ioas_id') },
  IOMMU_IOAS_UNMAP: {
    patch: ids(IOAS_UNMAP, 'ioas_id'),
    learn: (before, _recorded, _seen, remapping, event) => {
      const { ioas_id = 0, iova = 0n, length = 0n } = decode(IOAS_UNMAP, before);
      remapping.unmapMemory(event.object, ioas_id, iova, length);
    },
  },
  IOMMU_IOAS_IOVA_RANGES: {
    patch: ids(IOAS_IOVA_RANGES, 'ioas_id'),
    ignore: ['num_iovas', 'out_iova_alignment', 'allowed_iovas'],
  },
  IOMMU_IOAS_ALLOW_IOVAS: { patch: ids(IOAS_ALLOW_IOVAS, 'ioas_id'), ignore: ['allowed_iovas'] },
  IOMMU_VFIO_IOAS: { patch: ids(VFIO_IOAS, 'ioas_id'), ignore: ['ioas_id'] },
  IOMMU_DESTROY: { patch: ids(DESTROY, 'id') },
};

export function handlingOf(name: string): Handling {
  return HANDLING[name] ?? LYON_HANDLING[name] ?? {};
}
