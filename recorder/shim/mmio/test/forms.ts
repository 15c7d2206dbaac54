// SPDX-License-Identifier: Apache-2.0
/**
 * Instruction forms that touch memory, as assembly: every form × addressing mode becomes one small function, with a
 * table entry that says how to call it and what a recording of it must hold.
 */

/** What one execution records: `elements` of a string instruction one by one, `unknown-update` and `stepped` no value. */
type Access = 'load' | 'store' | 'update' | 'unknown-update' | 'stepped' | 'none' | 'elements';

interface Form {
  /** Intel syntax; M stands for the memory operand, with its size. */
  readonly text: string;
  readonly width: number;
  readonly access: Access;
  /** Only at addresses that are multiples of the width. */
  readonly aligned?: boolean;
  readonly addressing?: readonly Addressing[];
}

interface Addressing {
  readonly text: string;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly displacement: number;
}

const NONE = 255;
const addressing = (text: string, base: number, displacement = 0, index = NONE, scale = 1): Addressing => ({
  text,
  base,
  index,
  scale,
  displacement,
});

/** Short and long encodings, REX.B, SIB, r12 and r13 (which need a SIB or a displacement). */
const usual: readonly Addressing[] = [
  addressing('[rdi]', 7),
  addressing('[rsi+0x10]', 6, 0x10),
  addressing('[rax+0x12345]', 0, 0x12345),
  addressing('[r12]', 12),
  addressing('[r13-8]', 13, -8),
  addressing('[rbx+rcx*4+0x20]', 3, 0x20, 1, 4),
  addressing('[r8+r9*8]', 8, 0, 9, 8),
  addressing('[rbp+r10]', 5, 0, 10, 1),
];
const few: readonly Addressing[] = [usual[0], usual[1], usual[5], usual[6]].filter((a) => a !== undefined);
const viaRsi: readonly Addressing[] = [
  addressing('[rsi]', 6),
  addressing('[rsi+0x40]', 6, 0x40),
  addressing('[r11]', 11),
];

const sizes = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  8: 'qword',
  16: 'xmmword',
  32: 'ymmword',
  10: 'tbyte',
} as const;
type Width = keyof typeof sizes;
const registers: Record<1 | 2 | 4 | 8, readonly string[]> = {
  1: ['al', 'dl', 'sil', 'r9b', 'ch'],
  2: ['ax', 'r9w'],
  4: ['eax', 'edx', 'ecx', 'r14d'],
  8: ['rax', 'rdx', 'rdi', 'r15'],
};
const integer = [1, 2, 4, 8] as const;
const immediate = { 1: '0x5a', 2: '0x1234', 4: '0x12345678', 8: '-0x76543210' } as const;
const conditions = ['z', 'nz', 'c', 'nc', 's', 'o', 'p', 'be', 'l', 'le'];

const forms: Form[] = [];
const add = (text: string, width: Width, access: Access, more: Partial<Form> = {}): void => {
  forms.push({ text: text.replaceAll('M', `${sizes[width]} ptr M`), width, access, ...more });
};

for (const width of integer) {
  for (const r of registers[width]) {
    add(`mov ${r}, M`, width, 'load');
    add(`mov M, ${r}`, width, 'store');
  }
  add(`mov M, ${immediate[width]}`, width, 'store');
  const r = registers[width][0] ?? 'al';
  const other = registers[width].at(-1) ?? 'dl';
  for (const op of ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor']) {
    add(`${op} ${r}, M`, width, 'load');
    add(`${op} ${other}, M`, width, 'load', { addressing: few });
    add(`${op} M, ${r}`, width, 'update');
    add(`${op} M, ${other}`, width, 'update', { addressing: few });
    add(`${op} M, 0x11`, width, 'update', { addressing: few });
    if (width > 1) add(`${op} M, ${immediate[width]}`, width, 'update', { addressing: few });
    add(`lock ${op} M, ${r}`, width, 'unknown-update', { addressing: few });
    add(`lock ${op} M, 0x11`, width, 'unknown-update', { addressing: few });
  }
  add(`cmp M, ${r}`, width, 'load');
  add(`cmp ${other}, M`, width, 'load');
  add(`cmp M, 0x11`, width, 'load', { addressing: few });
  add(`test M, ${r}`, width, 'load', { addressing: few });
  add(`test M, ${immediate[width]}`, width, 'load', { addressing: few });
  for (const op of ['inc', 'dec', 'not', 'neg']) {
    add(`${op} M`, width, 'update', { addressing: few });
    add(`lock ${op} M`, width, 'unknown-update', { addressing: few });
  }
  for (const op of ['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr']) {
    add(`${op} M, 1`, width, 'update', { addressing: few });
    add(`${op} M, 3`, width, 'update', { addressing: few });
    add(`${op} M, cl`, width, 'update', { addressing: [usual[0] ?? addressing('[rdi]', 7)] });
  }
  for (const register of registers[width]) {
    add(`xchg M, ${register}`, width, 'update', { addressing: few });
    add(`xadd M, ${register}`, width, 'update', { addressing: few });
    add(`lock xadd M, ${register}`, width, 'update', { addressing: few });
  }
  add(`cmpxchg M, ${other}`, width, 'update', { addressing: few });
  add(`lock cmpxchg M, ${registers[width][1] ?? 'dl'}`, width, 'update', { addressing: few });
  add(`mul M`, width, 'load', { addressing: few });
  add(`imul M`, width, 'load', { addressing: few });
  if (width === 1) continue;
  const wide = registers[width];
  add(`imul ${wide[0]}, M`, width, 'load', { addressing: few });
  add(`imul ${wide[1]}, M, 0x55`, width, 'load', { addressing: few });
  add(`movbe ${wide[0]}, M`, width, 'load', { addressing: few });
  add(`movbe M, ${wide[1]}`, width, 'store', { addressing: few });
  for (const op of ['bt', 'bts', 'btr', 'btc']) {
    add(`${op} M, 5`, width, op === 'bt' ? 'load' : 'update', { addressing: few });
    if (op !== 'bt') add(`lock ${op} M, 5`, width, 'unknown-update', { addressing: few });
  }
  for (const op of ['popcnt', 'lzcnt', 'tzcnt'])
    add(`${op} ${wide[0]}, M`, width, 'load', { addressing: few });
  add(`shld M, ${wide[0]}, 4`, width, 'update', { addressing: few });
  for (const c of conditions) add(`cmov${c} ${wide[1]}, M`, width, 'load', { addressing: few });
}
for (const c of conditions) add(`set${c} M`, 1, 'store', { addressing: few });
for (const [to, from] of [
  ['eax', 1],
  ['r9w', 1],
  ['r14', 1],
  ['edx', 2],
  ['r15', 2],
] as const) {
  add(`movzx ${to}, M`, from, 'load');
  add(`movsx ${to}, M`, from, 'load');
}
add('movsxd rax, M', 4, 'load');
add('movsxd r15, M', 4, 'load');
add('movnti M, eax', 4, 'store');
add('movnti M, r14d', 4, 'store');
add('movnti M, rdx', 8, 'store');
add('crc32 eax, M', 1, 'load', { addressing: few });
add('crc32 rax, M', 8, 'load', { addressing: few });
add('andn eax, edx, M', 4, 'load', { addressing: few });
add('bextr rax, M, rdx', 8, 'load', { addressing: few });
add('shlx rax, M, rdx', 8, 'load', { addressing: few });
add('rorx eax, M, 7', 4, 'load', { addressing: few });
add('blsr r9, M', 8, 'load', { addressing: viaRsi });
add('cmpxchg8b M', 8, 'update', { addressing: viaRsi });
add('lock cmpxchg8b M', 8, 'update', { addressing: viaRsi });

// Vector registers.
for (const op of ['movups', 'movupd', 'movdqu', 'vmovups', 'vmovdqu']) {
  add(`${op} xmm1, M`, 16, 'load');
  add(`${op} M, xmm12`, 16, 'store');
}
for (const op of ['movaps', 'movdqa', 'vmovaps', 'vmovdqa']) {
  add(`${op} xmm0, M`, 16, 'load', { aligned: true });
  add(`${op} M, xmm3`, 16, 'store', { aligned: true });
}
for (const op of ['movntps', 'movntdq', 'vmovntdq'])
  add(`${op} M, xmm2`, 16, 'store', { aligned: true, addressing: few });
add('lddqu xmm4, M', 16, 'load', { addressing: few });
add('movntdqa xmm4, M', 16, 'load', { aligned: true, addressing: few });
for (const op of ['pxor', 'paddd', 'pcmpeqb', 'pshufb', 'pand']) {
  add(`${op} xmm0, M`, 16, 'load', { aligned: true, addressing: few });
  add(`v${op} xmm0, xmm5, M`, 16, 'load', { addressing: few });
}
add('pshufd xmm7, M, 0x1b', 16, 'load', { aligned: true, addressing: few });
add('ptest xmm7, M', 16, 'load', { aligned: true, addressing: few });
for (const op of ['vmovups', 'vmovdqu']) {
  add(`${op} ymm1, M`, 32, 'load', { addressing: few });
  add(`${op} M, ymm13`, 32, 'store', { addressing: few });
}
add('vmovdqa ymm1, M', 32, 'load', { aligned: true, addressing: few });
add('vmovntdq M, ymm1', 32, 'store', { aligned: true, addressing: few });
for (const op of ['movd', 'vmovd']) {
  add(`${op} xmm3, M`, 4, 'load');
  add(`${op} M, xmm3`, 4, 'store');
}
for (const op of ['movq', 'vmovq', 'movlps', 'movhps'] as const) {
  add(`${op} xmm3, M`, 8, 'load', { addressing: few });
  add(`${op} M, xmm9`, 8, 'store', { addressing: few });
}
add('movss xmm3, M', 4, 'load', { addressing: few });
add('movsd M, xmm3', 8, 'store', { addressing: few });

// Those that no trampoline holds.
add('bt M, eax', 4, 'stepped', { addressing: [addressing('[rdi]', 7)] });
add('vpaddd ymm1, ymm2, M', 32, 'stepped', { addressing: few });
add('movddup xmm1, M', 8, 'stepped', { addressing: few });
add('vmaskmovps M, ymm2, ymm1', 32, 'stepped', { addressing: few });
add('vpmaskmovq M, xmm2, xmm1', 16, 'stepped', { addressing: few });
add('cmpxchg16b M', 16, 'stepped', { addressing: viaRsi, aligned: true });
add('prefetchw M\n nop', 1, 'none', { addressing: few });
forms.push({
  text: 'mov rax, qword ptr gs:M',
  width: 8,
  access: 'stepped',
  addressing: [addressing('[rdi]', 7)],
});
forms.push({
  text: 'fld qword ptr M\n fstp qword ptr [rsp-8]\n mov rax, [rsp-8]',
  width: 8,
  access: 'stepped',
  addressing: few,
});
forms.push({
  text: 'fild word ptr M\n fistp word ptr [rsp-8]\n movzx eax, word ptr [rsp-8]',
  width: 2,
  access: 'stepped',
  addressing: few,
});
forms.push({
  text: 'mov qword ptr [rsp-8], rdx\n push qword ptr M\n pop rax\n mov rdx, [rsp-8]',
  width: 8,
  access: 'load',
  addressing: few,
});
forms.push({ text: 'push rdx\n pop qword ptr M', width: 8, access: 'store', addressing: few });
forms.push({ text: 'mov [rdi], rdi', width: 8, access: 'store', addressing: [addressing('[rdi]', 7)] });
forms.push({ text: 'mov rdi, [rdi]', width: 8, access: 'load', addressing: [addressing('[rdi]', 7)] });
forms.push({
  text: 'mov rdi, [rdi+rdi]',
  width: 8,
  access: 'load',
  aligned: true,
  addressing: [addressing('[rdi+rdi]', 7, 0, 7, 1)],
});
forms.push({ text: 'xlatb', width: 1, access: 'stepped', addressing: [addressing('', 3)] });
forms.push({ text: 'maskmovdqu xmm1, xmm2', width: 16, access: 'stepped', addressing: [addressing('', 7)] });
// Strings: elements of `width`; the rig sets rcx to 5.
for (const [suffix, width] of [
  ['b', 1],
  ['w', 2],
  ['d', 4],
  ['q', 8],
] as const) {
  const toBar = { addressing: [addressing('', 7)] };
  const fromBar = { addressing: [addressing('', 6)] };
  forms.push({ text: `rep stos${suffix}`, width, access: 'elements', ...toBar });
  forms.push({ text: `stos${suffix}`, width, access: 'store', ...toBar });
  forms.push({ text: `lea rsi, [rip+source]\n rep movs${suffix}`, width, access: 'elements', ...toBar });
  forms.push({ text: `lea rdi, [rip+sink]\n rep movs${suffix}`, width, access: 'elements', ...fromBar });
  forms.push({ text: `lods${suffix}`, width, access: 'load', ...fromBar });
  forms.push({ text: `std\n rep stos${suffix}\n cld`, width, access: 'elements', ...toBar });
}

const kinds: Record<Access, number> = {
  load: 0,
  store: 1,
  update: 2,
  'unknown-update': 3,
  stepped: 4,
  none: 5,
  elements: 6,
};

/** The last three are moved out of the way where nothing else helps. */
const followers = [
  'nop',
  'mov eax, eax',
  'xchg r11, r11',
  'lea r11, [r11+0]',
  'mov r11d, r11d\n nop',
  'mov ebp, 0xffffff9c',
  'and ebp, 0xfffbffff',
  '.byte 0xe9, 0, 0, 0, 0',
];

/** The table as GNU assembly; `struct form` in forms.c is its reader. */
export function assembly(): string {
  const code: string[] = [];
  const table: string[] = [];
  const names: string[] = [];
  let count = 0;
  for (const form of forms) {
    for (const where of form.addressing ?? usual) {
      if (/\b[abcd]h\b/.test(form.text) && /r\d/.test(where.text)) continue; // ah … dh can't be named beside REX
      const text = form.text.replaceAll('M', where.text);
      // What follows a short site decides where its jump can go: let it differ.
      const after = followers[count % followers.length] ?? 'nop';
      code.push(`f${count}: ${text}\n ${after}\n ret\n .p2align ${count % 3 === 0 ? 4 : 0}, 0xcc`);
      names.push(`n${count}: .asciz "${text.replaceAll('\n', ';')}"`);
      table.push(
        ` .quad f${count}, n${count}\n .byte ${where.base}, ${where.index}, ${where.scale}, ${form.width}, ` +
          `${kinds[form.access]}, ${form.aligned === true ? 1 : 0}, 0, 0\n .quad ${where.displacement}`,
      );
      count++;
    }
  }
  return [
    ' .intel_syntax noprefix\n .text\n .p2align 12',
    ...code,
    ' .section .data.rel.ro,"aw"\n .p2align 3\n .globl form_table, form_count\n form_count: .quad ' +
      String(count),
    'form_table:',
    ...table,
    ...names,
    ' .data\n .p2align 6\n .globl source, sink\nsource: .rept 256\n .byte 0x3c\n .endr\nsink: .rept 256\n .byte 0\n .endr',
    ' .section .note.GNU-stack,"",@progbits\n',
  ].join('\n');
}
