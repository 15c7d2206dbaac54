// SPDX-License-Identifier: Apache-2.0
/** ioctls of a device, from a group or opened as a character device (linux/vfio.h). */
import { ioctl } from '../ioctl.js';
import { s32, struct, u32, u64 } from '../layout.js';
import { flagTable } from '../names.js';
import { DEVICE_INFO, deviceInfoParts } from './device-info.js';
import { DEVICE_FEATURE, featureParts } from './feature.js';
import { HOT_RESET, HOT_RESET_INFO, hotResetInfoParts, hotResetParts } from './hot-reset.js';
import { IRQ_INFO, IRQ_SET, irqSetParts } from './irqs.js';
import { REGION_INFO, regionInfoParts } from './region-info.js';

export const GFX_PLANE_FLAGS = flagTable('VFIO_GFX_PLANE_TYPE_', { PROBE: 1, DMABUF: 2, REGION: 4 });

export const GFX_PLANE_INFO = struct('vfio_device_gfx_plane_info', 64, {
  argsz: u32(0),
  flags: u32(4, { flags: GFX_PLANE_FLAGS }),
  drm_plane_type: u32(8),
  drm_format: u32(12, { hex: true, direction: 'out' }),
  drm_format_mod: u64(16, { direction: 'out' }),
  width: u32(24, { direction: 'out' }),
  height: u32(28, { direction: 'out' }),
  stride: u32(32, { direction: 'out' }),
  size: u32(36, { size: true, direction: 'out' }),
  x_pos: u32(40, { direction: 'out' }),
  y_pos: u32(44, { direction: 'out' }),
  x_hot: u32(48, { direction: 'out' }),
  y_hot: u32(52, { direction: 'out' }),
  region_index: u32(56, { direction: 'out' }),
});

/** VFIO_DEVICE_GET_GFX_DMABUF takes a pointer to the id that QUERY_GFX_PLANE gave. */
export const GFX_DMABUF = struct('unsigned int', 4, { dmabuf_id: u32(0) });

export const IOEVENTFD_FLAGS = flagTable('VFIO_DEVICE_IOEVENTFD_', { '8': 1, '16': 2, '32': 4, '64': 8 });

export const IOEVENTFD = struct('vfio_device_ioeventfd', 32, {
  argsz: u32(0),
  flags: u32(4, { flags: IOEVENTFD_FLAGS }),
  offset: u64(8),
  data: u64(16),
  fd: s32(24),
  reserved: u32(28, { hidden: true }),
});

export const BIND_FLAGS = flagTable('VFIO_DEVICE_BIND_', { FLAG_TOKEN: 1 });

/** 16 bytes; 24 since the VF token can be given here (its pointer is not followed: a secret). */
export const BIND_IOMMUFD = struct('vfio_device_bind_iommufd', 16, {
  argsz: u32(0),
  flags: u32(4, { flags: BIND_FLAGS }),
  iommufd: s32(8),
  out_devid: u32(12, { direction: 'out' }),
  token_uuid_ptr: u64(16, { pointer: true, hidden: true }),
});

export const ATTACH_FLAGS = flagTable('VFIO_DEVICE_ATTACH_', { PASID: 1 });

export const ATTACH_IOMMUFD_PT = struct('vfio_device_attach_iommufd_pt', 12, {
  argsz: u32(0),
  flags: u32(4, { flags: ATTACH_FLAGS }),
  pt_id: u32(8, { direction: 'inout' }),
  pasid: u32(12, { hidden: true }),
});

export const DETACH_IOMMUFD_PT = struct('vfio_device_detach_iommufd_pt', 8, {
  argsz: u32(0),
  flags: u32(4, { flags: ATTACH_FLAGS }),
  pasid: u32(8, { hidden: true }),
});

export const DEVICE_IOCTLS = [
  ioctl('VFIO_DEVICE_GET_INFO', 0x3b6b, DEVICE_INFO, { more: deviceInfoParts }),
  ioctl('VFIO_DEVICE_GET_REGION_INFO', 0x3b6c, REGION_INFO, { more: regionInfoParts }),
  ioctl('VFIO_DEVICE_GET_IRQ_INFO', 0x3b6d, IRQ_INFO),
  ioctl('VFIO_DEVICE_SET_IRQS', 0x3b6e, IRQ_SET, { more: irqSetParts, returns: 'number' }),
  ioctl('VFIO_DEVICE_RESET', 0x3b6f),
  ioctl('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', 0x3b70, HOT_RESET_INFO, { more: hotResetInfoParts }),
  ioctl('VFIO_DEVICE_PCI_HOT_RESET', 0x3b71, HOT_RESET, { more: hotResetParts }),
  ioctl('VFIO_DEVICE_QUERY_GFX_PLANE', 0x3b72, GFX_PLANE_INFO),
  ioctl('VFIO_DEVICE_GET_GFX_DMABUF', 0x3b73, GFX_DMABUF, { returns: 'fd' }),
  ioctl('VFIO_DEVICE_IOEVENTFD', 0x3b74, IOEVENTFD),
  ioctl('VFIO_DEVICE_FEATURE', 0x3b75, DEVICE_FEATURE, { more: featureParts, returns: 'number' }),
  ioctl('VFIO_DEVICE_BIND_IOMMUFD', 0x3b76, BIND_IOMMUFD),
  ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', 0x3b77, ATTACH_IOMMUFD_PT),
  ioctl('VFIO_DEVICE_DETACH_IOMMUFD_PT', 0x3b78, DETACH_IOMMUFD_PT),
] as const;
