// SPDX-License-Identifier: Apache-2.0
/**
 * What an instruction that reads and writes memory does with it, by its bytes (SDM vol. 2, appendix A): a recording has the
 * operand, or the values before and after, and not which of them it is.
 */

type Arithmetic = 'add' | 'or' | 'adc' | 'sbb' | 'and' | 'sub' | 'xor' | 'cmp';
export type UpdateOperation =
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
  readonly operation: UpdateOperation | undefined;
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

function oneByteOperation(opcode: number, reg: number): UpdateOperation | undefined {
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

function twoByteOperation(opcode: number, reg: number): UpdateOperation | undefined {
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
