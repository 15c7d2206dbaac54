// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_SET_IRQS, decoded. */
import { decode, readU32 } from '../../../abi/layout.js';
import { IRQ_SET, irqSetDescriptors } from '../../../abi/vfio/irqs.js';
import { payloadOf } from '../../../session/payloads.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import { PayloadRole } from '../../../traces/model.js';

export const INTX = 0;
export const MSI = 1;
export const MSIX = 2;
export const ERR = 3;
export const REQ = 4;

export const DATA_NONE = 1;
export const DATA_BOOL = 2;
export const DATA_EVENTFD = 4;
export const DATA_MASK = 7;
export const ACTION_MASK_IRQ = 8;
export const ACTION_UNMASK = 16;
export const ACTION_TRIGGER = 32;
export const ACTION_MASK = 0x38;

/** A descriptor of the request. */
export interface IrqDescriptor {
  readonly fd: number;
  /** ObjectKind and id of what it was, as the recorder knew it; 0: it did not. */
  readonly kind: number;
  readonly object: number;
}

export interface IrqRequest {
  readonly device: DeviceLife;
  readonly argsz: number;
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly descriptors: readonly IrqDescriptor[];
  /** DATA_NONE, ACTION_TRIGGER and count 0: the whole index is switched off. */
  readonly disables: boolean;
  /** Gives vectors a trigger. */
  readonly enables: boolean;
}

function decodeRequest({ device, before, event }: IoctlStep): IrqRequest | undefined {
  if (device === undefined || before.length < IRQ_SET.size) return undefined;
  const { argsz = 0, flags = 0, index = 0, start = 0, count = 0 } = decode(IRQ_SET, before);
  const kinds = payloadOf(event, PayloadRole.KIND);
  const descriptors = irqSetDescriptors(before).map((fd, i) => {
    const known = kinds !== undefined && kinds.length >= i * 8 + 8;
    return {
      fd,
      kind: known ? readU32(kinds, i * 8) : 0,
      object: known ? readU32(kinds, i * 8 + 4) : 0,
    };
  });
  const trigger = (flags & ACTION_TRIGGER) !== 0;
  return {
    device,
    argsz,
    flags,
    index,
    start,
    count,
    descriptors,
    disables: trigger && count === 0,
    enables: trigger && count > 0 && (flags & DATA_EVENTFD) !== 0,
  };
}

/** Many rules ask for the request of the same step: it is decoded once. */
let latest: { readonly step: IoctlStep; readonly request: IrqRequest | undefined } | undefined;

/** For RuleWatch.ioctl: each SET_IRQS of a device, whether it succeeded or not. */
export function onSetIrqs(
  look: (request: IrqRequest, step: IoctlStep) => void,
): Readonly<Record<string, (step: IoctlStep) => void>> {
  return {
    VFIO_DEVICE_SET_IRQS: (step) => {
      if (latest?.step !== step) latest = { step, request: decodeRequest(step) };
      if (latest.request !== undefined) look(latest.request, step);
    },
  };
}
