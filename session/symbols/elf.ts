// SPDX-License-Identifier: Apache-2.0
/** As much of an ELF file (System V ABI, chapters 4 and 5) as naming code takes. The file may hold anything. */
import type { ByteSource } from './byte-source.js';

export interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly executable: boolean;
}

export interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  /** Of symbol tables: index of the section with the names. */
  readonly link: number;
}

export const SectionType = { SYMTAB: 2, STRTAB: 3, NOBITS: 8, DYNSYM: 11 } as const;

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const SECTION_BYTES = 64;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PF_X = 1;
const SHT_NOTE = 7;
const NT_GNU_BUILD_ID = 3;
const EM_X86_64 = 62;
const NOTES_MAX = 1 << 16;
const NAMES_MAX = 1 << 20;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Rounded above 2^53: whoever uses it compares it with what the file holds, and it fails there. */
function word(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

/** The text at `at`, up to its NUL; undefined when it has none. */
export function nameIn(strings: Uint8Array, at: number): string | undefined {
  if (at < 0 || at >= strings.length) return undefined;
  const end = strings.indexOf(0, at);
  return end < 0 ? undefined : Buffer.from(strings.subarray(at, end)).toString('utf8');
}

export class ElfFile {
  readonly #bytes: ByteSource;
  readonly segments: readonly Segment[];
  readonly sections: readonly Section[];
  /** Hexadecimal; empty when the file has none. */
  readonly buildId: string;

  private constructor(
    bytes: ByteSource,
    segments: readonly Segment[],
    sections: readonly Section[],
    buildId: string,
  ) {
    this.#bytes = bytes;
    this.segments = segments;
    this.sections = sections;
    this.buildId = buildId;
  }

  /** Undefined for what is no x86-64 ELF file. What of it can't be read counts as not there. */
  static read(bytes: ByteSource): ElfFile | undefined {
    const header = bytes.read(0, HEADER_BYTES);
    if (header === undefined) return undefined;
    const view = viewOf(header);
    const isElf64 = view.getUint32(0, false) === 0x7f454c46 && header[4] === 2 && header[5] === 1;
    if (!isElf64 || view.getUint16(18, true) !== EM_X86_64) return undefined;
    const notes: { readonly offset: number; readonly size: number }[] = [];
    const segments: Segment[] = [];
    for (const entry of table(
      bytes,
      word(view, 32),
      view.getUint16(54, true),
      view.getUint16(56, true),
      SEGMENT_BYTES,
    )) {
      const offset = word(entry, 8);
      const fileSize = word(entry, 32);
      const type = entry.getUint32(0, true);
      if (type === PT_NOTE) notes.push({ offset, size: fileSize });
      if (type !== PT_LOAD) continue;
      const executable = (entry.getUint32(4, true) & PF_X) !== 0;
      segments.push({ offset, address: word(entry, 16), fileSize, memorySize: word(entry, 40), executable });
    }
    const sections = readSections(bytes, view);
    // In a file of debug information only, the segments say where the notes were, the sections where they are.
    for (const { type, offset, size } of sections) if (type === SHT_NOTE) notes.unshift({ offset, size });
    return new ElfFile(bytes, segments, sections, readBuildId(bytes, notes));
  }

  section(name: string): Section | undefined {
    return this.sections.find((section) => section.name === name && section.type !== SectionType.NOBITS);
  }

  content(section: Section): Uint8Array | undefined {
    return section.type === SectionType.NOBITS ? undefined : this.#bytes.read(section.offset, section.size);
  }

  /** Of debug information only: the code is elsewhere, and so is where in the file it was. */
  get withoutCode(): boolean {
    return this.sections.some(({ name, type }) => name === '.text' && type === SectionType.NOBITS);
  }

  /** The virtual address, as symbols and line tables have it, of a byte of code in the file. */
  addressOf(fileOffset: number): number | undefined {
    for (const { executable, offset, fileSize, address } of this.segments) {
      if (executable && fileOffset >= offset && fileOffset < offset + fileSize)
        return fileOffset - offset + address;
    }
    return undefined;
  }

  close(): void {
    this.#bytes.close();
  }
}

function* table(
  bytes: ByteSource,
  offset: number,
  entrySize: number,
  count: number,
  least: number,
): Generator<DataView, void, undefined> {
  if (entrySize < least) return;
  const content = bytes.read(offset, entrySize * count);
  if (content === undefined) return;
  for (let n = 0; n < count; n++) yield viewOf(content.subarray(n * entrySize, (n + 1) * entrySize));
}

function readSections(bytes: ByteSource, header: DataView): readonly Section[] {
  const count = header.getUint16(60, true);
  const entries = [...table(bytes, word(header, 40), header.getUint16(58, true), count, SECTION_BYTES)];
  const namesEntry = entries[header.getUint16(62, true)];
  const namesSize = namesEntry === undefined ? 0 : word(namesEntry, 32);
  const names =
    namesEntry !== undefined && namesSize <= NAMES_MAX
      ? bytes.read(word(namesEntry, 24), namesSize)
      : undefined;
  return entries.map((entry) => ({
    name: names === undefined ? '' : (nameIn(names, entry.getUint32(0, true)) ?? ''),
    type: entry.getUint32(4, true),
    offset: word(entry, 24),
    size: word(entry, 32),
    link: entry.getUint32(40, true),
  }));
}

function readBuildId(
  bytes: ByteSource,
  notes: readonly { readonly offset: number; readonly size: number }[],
): string {
  for (const { offset, size } of notes) {
    if (size > NOTES_MAX) continue;
    const content = bytes.read(offset, size);
    if (content === undefined) continue;
    const view = viewOf(content);
    for (let at = 0; at + 12 <= content.length; ) {
      const nameSize = view.getUint32(at, true);
      const length = view.getUint32(at + 4, true);
      const name = at + 12;
      const start = name + ((nameSize + 3) & ~3);
      if (nameSize > NOTES_MAX || length > NOTES_MAX || start + length > content.length) break;
      const isGnu = nameSize === 4 && view.getUint32(name, false) === 0x474e5500;
      if (isGnu && view.getUint32(at + 8, true) === NT_GNU_BUILD_ID) {
        return Buffer.from(content.subarray(start, start + length)).toString('hex');
      }
      at = start + ((length + 3) & ~3);
    }
  }
  return '';
}
