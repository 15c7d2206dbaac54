// SPDX-License-Identifier: Apache-2.0
/** What the registers of a known class of device mean for its safety: whether it runs, and where it was told to DMA. */
import type { PlacedRegister } from '../../../abi/register-access.js';

export interface RegisterAccess {
  readonly store: boolean;
  readonly register: PlacedRegister;
  /** Of the access's first byte in the register: 4 is the upper half of a 64-bit one. */
  readonly within: number;
  readonly width: number;
  /** What a read-modify-write stored. */
  readonly value: bigint;
}

export interface ControllerNews {
  /**
   * `enabled`, `disabled`: by its enable bit; `stopped`: it said that it has come to rest; `reset`: by a register of
   * its own; `address`: a bus address was written to a register.
   */
  readonly what: 'enabled' | 'disabled' | 'stopped' | 'reset' | 'address';
  readonly register: string;
  /** Of `address`: what the register holds now, and how much memory the device will use there, when it is known. */
  readonly address?: bigint;
  readonly bytes?: number;
  /** Both halves of the address were written, not the first of two. */
  readonly whole?: boolean;
}

export interface Controller {
  /** Whether it wants to see accesses to this register: doorbells it should not. */
  wants(register: string): boolean;
  /** What the access meant; undefined for most. */
  access(access: RegisterAccess): ControllerNews | undefined;
}

const DOORBELL = /(TDBL|HDBL)$|^[TR]DT(\[\d+\])?$|^notify(\[\d+\])?$|^queue_notify$/;

/** A register by which the driver tells the device that there is work: SQ0TDBL, TDT[0], notify[1]. */
export function isDoorbell(register: string): boolean {
  return DOORBELL.test(register);
}
