// SPDX-License-Identifier: Apache-2.0
/** Status of a completed command: type in bits 8 to 10, code below (NVMe 1.4 figures 126 to 131). */

export const SUCCESS = 0x000;
export const INVALID_OPCODE = 0x001;
export const INVALID_FIELD = 0x002;
export const DATA_TRANSFER_ERROR = 0x004;
export const INTERNAL_ERROR = 0x006;
export const ABORTED = 0x007;
export const INVALID_NAMESPACE = 0x00b;
export const SEQUENCE_ERROR = 0x00c;
export const PRP_OFFSET_INVALID = 0x013;
export const LBA_OUT_OF_RANGE = 0x080;

export const COMPLETION_QUEUE_INVALID = 0x100;
export const INVALID_QUEUE_ID = 0x101;
export const INVALID_QUEUE_SIZE = 0x102;
export const EVENT_LIMIT_EXCEEDED = 0x105;
export const INVALID_INTERRUPT_VECTOR = 0x108;
export const INVALID_LOG_PAGE = 0x109;
export const INVALID_QUEUE_DELETION = 0x10c;
export const FEATURE_NOT_SAVEABLE = 0x10d;
export const FEATURE_NOT_CHANGEABLE = 0x10e;
export const READ_ONLY = 0x182;

export const COMPARE_FAILURE = 0x285;

const DO_NOT_RETRY = 0x4000;

/** Repeating a command that was wrong does not make it right; one that the machine failed may work. */
export function statusField(status: number): number {
  const transient = status === SUCCESS || status === DATA_TRANSFER_ERROR || status === ABORTED;
  return transient ? status : status | DO_NOT_RETRY;
}
