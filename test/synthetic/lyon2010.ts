// SPDX-License-Identifier: Apache-2.0
/** A driver of 2010: /dev/vfio0 and /dev/uiommu, where two of today's request numbers mean something else. */
import { encode } from '../../abi/layout.js';
import { LYON_DMA_MAP } from '../../abi/lyon2010/ioctls.js';
import { lyonRegionOffset } from '../../abi/lyon2010/regions.js';
import { EventKind, ObjectKind } from '../../traces/model.js';
import { SyntheticSession, words } from './builder.js';

const CONFIG = lyonRegionOffset(7);

export function lyonSession(): SyntheticSession {
  const s = new SyntheticSession();
  s.addThread(s.process());
  const bdf = s.device({ bdf: '0000:02:10.0', vendor: 0x8086, device: 0x10ca, classCode: 0x020000 });
  const device = s.object(ObjectKind.LYON_DEVICE, { path: '/dev/vfio0', device: bdf });
  const uiommu = s.object(ObjectKind.UIOMMU, { path: '/dev/uiommu' });
  s.open(device, 3, '/dev/vfio0');
  s.open(uiommu, 4, '/dev/uiommu');
  s.ioctl(device, 3, 0x40043b6b, { before: words(4) });
  s.transfer(EventKind.READ, device, 3, CONFIG, 4, 0x10ca_8086n);
  s.transfer(EventKind.WRITE, device, 3, CONFIG + 4n, 2, 0x0006n);
  s.ioctl(device, 3, 0xc0043ba7, { before: words(0), after: words(0x4000) });
  s.ioctl(device, 3, 0xc0043ba7, { before: words(6), after: words(0) });
  s.add({
    kind: EventKind.MMAP,
    object: device,
    fd: 3,
    op: 3 | (1 << 8),
    offset: 0n,
    value: 0x4000n,
    result: 0x7000_0000n,
  });
  const map = { vaddr: 0x6000_0000n, dmaaddr: 0xf000_0000n, size: 0x10_0000n, flags: 1n };
  s.ioctl(device, 3, 0xc0203b65, { before: encode(LYON_DMA_MAP, map), after: encode(LYON_DMA_MAP, map) });
  const eventfds = [s.eventfd(5), s.eventfd(6), s.eventfd(7)];
  s.ioctl(device, 3, 0x40043b69, { before: words(3, 5, 6, 7) });
  s.add({ kind: EventKind.READ, object: eventfds[1] ?? 0, fd: 6, op: 8, value: 2n, result: 8n });
  s.ioctl(device, 3, 0x40043b69, { before: words(0) });
  s.ioctl(device, 3, 0x40043b67, { before: words(5) });
  s.add({ kind: EventKind.READ, object: eventfds[0] ?? 0, fd: 5, op: 8, value: 1n, result: 8n });
  s.ioctl(device, 3, 0x3b6d);
  s.ioctl(device, 3, 0x40043b6e, { before: words(7) });
  s.add({ kind: EventKind.WRITE, object: eventfds[2] ?? 0, fd: 7, op: 8, value: 1n, result: 8n });
  s.ioctl(device, 3, 0x40203b66, { before: encode(LYON_DMA_MAP, { ...map, dmaaddr: 0n }) });
  s.ioctl(device, 3, 0x3b6c);
  // As posted in June 2010.
  s.ioctl(device, 3, 0xc0203b64, {
    before: encode(LYON_DMA_MAP, { ...map, dmaaddr: 0n }),
    after: encode(LYON_DMA_MAP, map),
  });
  s.ioctl(device, 3, 0x40083b67, { before: words(0xffff_ffff, 0) });
  // Where those are answered, 104 takes one descriptor.
  s.ioctl(device, 3, 0x40043b68, { before: words(6) });
  s.add({ kind: EventKind.READ, object: eventfds[1] ?? 0, fd: 6, op: 8, value: 1n, result: 8n });
  s.transfer(EventKind.READ, device, 3, 8n << 32n, 4, 0n);
  s.add({
    kind: EventKind.WRITE,
    object: device,
    fd: 3,
    op: 4,
    offset: 0x100n,
    value: 5n,
    result: -1n,
    errno: 22,
  });
  return s;
}
