// SPDX-License-Identifier: Apache-2.0
/** A recorded read-modify-write as one locked instruction of the same kind, and what it leaves where it finds something. */
import type { UpdateOperation } from '../../abi/update-instruction.js';
import type { LockedUpdate } from './target.js';

/** The recording has the operand alone. Undefined: that is not enough (adc and sbb take the carry as well). */
export function updateByOperand(
  operation: UpdateOperation | undefined,
  operand: bigint,
  width: number,
): LockedUpdate | undefined {
  const make = (kind: LockedUpdate['kind'], value: bigint): LockedUpdate => ({
    kind,
    operand: BigInt.asUintN(8 * width, value),
    expected: 0n,
  });
  const bit = 1n << (operand & BigInt(8 * width - 1));
  switch (operation) {
    case 'add':
    case 'xadd':
      return make('add', operand);
    case 'sub':
      return make('add', -operand);
    case 'inc':
      return make('add', 1n);
    case 'dec':
      return make('add', -1n);
    case 'and':
    case 'or':
    case 'xor':
      return make(operation, operand);
    case 'not':
      return make('xor', -1n);
    case 'neg':
      return make('negate', 0n);
    case 'bts':
      return make('or', bit);
    case 'btr':
      return make('and', ~bit);
    case 'btc':
      return make('xor', bit);
    case 'xchg':
      return make('exchange', operand);
    default:
      return undefined;
  }
}

/**
 * The recording has what was there before and after: an instruction that does the same and tells what it found. A
 * compare-exchange leaves alone what is not as it was, as the driver's did.
 */
export function updateByValues(
  operation: UpdateOperation | undefined,
  before: bigint,
  after: bigint,
  width: number,
): LockedUpdate {
  switch (operation) {
    case 'add':
    case 'xadd':
    case 'sub':
    case 'inc':
    case 'dec':
      return { kind: 'add', operand: BigInt.asUintN(8 * width, after - before), expected: 0n };
    case 'cmpxchg':
      return { kind: 'compare-exchange', operand: after, expected: before };
    default:
      return { kind: 'exchange', operand: after, expected: 0n };
  }
}

/** What it leaves where it finds `old`. */
export function updatedValue({ kind, operand, expected }: LockedUpdate, old: bigint, width: number): bigint {
  const left = {
    exchange: operand,
    'compare-exchange': old === expected ? operand : old,
    add: old + operand,
    and: old & operand,
    or: old | operand,
    xor: old ^ operand,
    negate: -old,
  }[kind];
  return BigInt.asUintN(8 * width, left);
}
