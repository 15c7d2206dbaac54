// SPDX-License-Identifier: Apache-2.0
/**
 * The bulk of a session: loads and stores, and eventfds that are signalled and read. A driver does millions of them at
 * a few places. Whoever follows the session is asked once for each place, and again when the device's condition
 * changes; what nobody wants to see is passed over without an object being made.
 */
import type { PlacedRegister } from '../../abi/register-access.js';
import type { InterruptRoute } from '../interrupts.js';
import type { DeviceLife } from './device-life.js';
import type { Row } from './row.js';

export type AccessDirection = 'load' | 'store' | 'update';
export type AccessHandler = (row: Row) => void;

/** One place in a device's memory that is accessed in one way. */
export interface AccessPoint {
  readonly device: DeviceLife;
  readonly direction: AccessDirection;
  readonly region: number;
  readonly offset: number;
  /** Bytes: 1 to 64; of a string instruction 0, its data tells. */
  readonly width: number;
  /** The register of its first byte, as far as that is known now. */
  readonly register: PlacedRegister | undefined;
  /** Accesses before this one. */
  readonly count: number;
}

export type EventfdAction = 'read' | 'write' | 'wake';
export type EventfdHandler = (row: Row, action: EventfdAction) => void;

/** One eventfd. */
export interface EventfdPoint {
  readonly object: number;
  /** The interrupt that it stands for. */
  readonly route: InterruptRoute | undefined;
  /** KVM listens to it: the driver does not see the interrupts. */
  readonly inKernel: boolean;
}
