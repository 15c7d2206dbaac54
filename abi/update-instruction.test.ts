// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { updateInstruction } from './update-instruction.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** As GNU as writes them. */
const INSTRUCTIONS: readonly (readonly [hex: string, text: string, operation: string, locked: boolean])[] = [
  ['81 4f 24 80 00 00 00', 'orl $0x80, 0x24(%rdi)', 'or', false],
  ['48 87 97 00 01 00 00', 'xchg %rdx, 0x100(%rdi)', 'xchg', true],
  ['86 97 19 01 00 00', 'xchgb %dl, 0x119(%rdi)', 'xchg', true],
  ['f0 0f c1 97 08 01 00 00', 'lock xaddl %edx, 0x108(%rdi)', 'xadd', true],
  ['f0 0f b1 97 10 01 00 00', 'lock cmpxchgl %edx, 0x110(%rdi)', 'cmpxchg', true],
  ['f0 0f c7 0f', 'lock cmpxchg8b (%rdi)', 'cmpxchg', true],
  ['f0 48 01 87 40 01 00 00', 'lock addq %rax, 0x140(%rdi)', 'add', true],
  ['f0 83 af 48 01 00 00 05', 'lock subl $5, 0x148(%rdi)', 'sub', true],
  ['f0 48 21 87 50 01 00 00', 'lock andq %rax, 0x150(%rdi)', 'and', true],
  ['66 f0 81 8f 58 01 00 00 21 43', 'lock orw $0x4321, 0x158(%rdi)', 'or', true],
  ['f0 30 87 61 01 00 00', 'lock xorb %al, 0x161(%rdi)', 'xor', true],
  ['f0 80 17 01', 'lock adcb $1, (%rdi)', 'adc', true],
  ['f0 ff 87 68 01 00 00', 'lock incl 0x168(%rdi)', 'inc', true],
  ['f0 48 ff 8f 70 01 00 00', 'lock decq 0x170(%rdi)', 'dec', true],
  ['66 f0 f7 97 78 01 00 00', 'lock notw 0x178(%rdi)', 'not', true],
  ['f0 f7 9f 80 01 00 00', 'lock negl 0x180(%rdi)', 'neg', true],
  ['f0 0f ba af 88 01 00 00 09', 'lock btsl $9, 0x188(%rdi)', 'bts', true],
  ['f0 48 0f ba b7 90 01 00 00 03', 'lock btrq $3, 0x190(%rdi)', 'btr', true],
  ['66 f0 0f ba bf 98 01 00 00 01', 'lock btcw $1, 0x198(%rdi)', 'btc', true],
  ['f0 41 ff 00', 'lock incl (%r8)', 'inc', true],
];

for (const [hex, text, operation, locked] of INSTRUCTIONS)
  test(text, () => assert.deepEqual(updateInstruction(bytes(hex)), { operation, locked }));

test('what is none of them, or cut off, is none', () => {
  for (const hex of ['', 'f0', 'f0 0f', '8b 07', 'd9 07', 'f0 f7 07', 'f0 0f c7 37'])
    assert.equal(updateInstruction(bytes(hex)).operation, undefined, hex);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 15 }), (any) => void updateInstruction(any)));
});
