// SPDX-License-Identifier: Apache-2.0
/**
 * What a recorded read-modify-write does, by the bytes of its instruction (SDM vol. 2, appendix A): the recording has the
 * operand, or the values before and after, and not which of them it is.
 */
import type { LockedUpdate } from './target.js';

type Arithmetic = 'add' | 'or' | 'adc' | 'sbb' | 'and' | 'sub' | 'xor' | 'cmp';
type Operation =
  | Arithmetic
  | 'inc'
  | 'dec'
  | 'not'
  | 'neg'
  | 'bts'
  | 'btr'
  | 'btc'
  | 'xchg'
  | 'xadd'
  | 'cmpxchg';

export interface UpdateInstruction {
  /** Undefined: another than those. */
  readonly operation: Operation | undefined;
  /** On the bus in one; xchg is without the prefix, too. */
  readonly locked: boolean;
}

const PREFIXES: ReadonlySet<number> = new Set([
  0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
]);
const LOCK = 0xf0;
const NONE = 0x100;
/** Opcodes 00 to 3f in rows of eight, and the reg field of 80 to 83. */
const ARITHMETIC: readonly Arithmetic[] = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];

export function updateInstruction(bytes: Uint8Array): UpdateInstruction {
  let at = 0;
  let locked = false;
  for (; PREFIXES.has(bytes[at] ?? -1); at++) locked ||= bytes[at] === LOCK;
  if (((bytes[at] ?? 0) & 0xf0) === 0x40) at++; // REX
  const twoBytes = bytes[at] === 0x0f;
  if (twoBytes) at++;
  const opcode = bytes[at] ?? NONE;
  const operation = (twoBytes ? twoByteOperation : oneByteOperation)(opcode, ((bytes[at + 1] ?? 0) >> 3) & 7);
  return { operation, locked: locked || operation === 'xchg' };
}

function oneByteOperation(opcode: number, reg: number): Operation | undefined {
  if (opcode < 0x40 && (opcode & 7) < 2) return ARITHMETIC[opcode >> 3];
  switch (opcode) {
    case 0x80:
    case 0x81:
    case 0x83:
      return ARITHMETIC[reg];
    case 0x86:
    case 0x87:
      return 'xchg';
    case 0xf6:
    case 0xf7:
      return reg === 2 ? 'not' : reg === 3 ? 'neg' : undefined;
    case 0xfe:
    case 0xff:
      return reg === 0 ? 'inc' : reg === 1 ? 'dec' : undefined;
    default:
      return undefined;
  }
}

function twoByteOperation(opcode: number, reg: number): Operation | undefined {
  switch (opcode) {
    case 0xb0:
    case 0xb1:
      return 'cmpxchg';
    case 0xc0:
    case 0xc1:
      return 'xadd';
    case 0xc7:
      return reg === 1 ? 'cmpxchg' : undefined;
    case 0xba:
      return reg === 5 ? 'bts' : reg === 6 ? 'btr' : reg === 7 ? 'btc' : undefined;
    default:
      return undefined;
  }
}

/** The recording has the operand alone. Undefined: that is not enough (adc and sbb take the carry as well). */
export function updateByOperand(
  operation: Operation | undefined,
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
  operation: Operation | undefined,
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
