// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readSync } from 'node:fs';
import type { ModuleDefinition } from '../../traces/model.js';

export type Mapping = Omit<ModuleDefinition, 'id' | 'process' | 'buildId'>;

const LINE = /^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \d+ *(.*)$/;

/** The executable lines of a /proc/PID/maps. */
export function parseMaps(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of text.split('\n')) {
    const [, start, end, offset, path] = LINE.exec(line) ?? [];
    if (start === undefined || end === undefined || offset === undefined) continue;
    mappings.push({
      start: BigInt(`0x${start}`),
      end: BigInt(`0x${end}`),
      fileOffset: BigInt(`0x${offset}`),
      path: path ?? '',
    });
  }
  return mappings;
}

const PT_NOTE = 4;
const NT_GNU_BUILD_ID = 3;
const NOTES_MAX = 65536;
const none = new Uint8Array(0);

/** The GNU build-id of an ELF file, empty when it has none or can't be read. */
export function readBuildId(path: string): Uint8Array {
  if (!path.startsWith('/')) return none;
  let fd: number;
  try {
    // Non-blocking: a driver may have mapped something that is a device by now.
    fd = openSync(path, 0o4000);
  } catch {
    return none;
  }
  try {
    return buildIdOf(fd);
  } catch {
    return none;
  } finally {
    closeSync(fd);
  }
}

function buildIdOf(fd: number): Uint8Array {
  const header = new Uint8Array(64);
  if (readSync(fd, header, 0, 64, 0) < 64) return none;
  const elf = new DataView(header.buffer);
  if (elf.getUint32(0, false) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return none;
  const tableAt = Number(elf.getBigUint64(32, true));
  const entrySize = elf.getUint16(54, true);
  const count = elf.getUint16(56, true);
  if (entrySize < 56) return none;
  for (let n = 0; n < Math.min(count, 64); n++) {
    const entry = new Uint8Array(56);
    if (readSync(fd, entry, 0, 56, tableAt + n * entrySize) < 56) return none;
    const program = new DataView(entry.buffer);
    if (program.getUint32(0, true) !== PT_NOTE) continue;
    const size = Math.min(Number(program.getBigUint64(32, true)), NOTES_MAX);
    const notes = new Uint8Array(size);
    const got = readSync(fd, notes, 0, size, Number(program.getBigUint64(8, true)));
    const found = buildIdNote(notes.subarray(0, got));
    if (found !== undefined) return found;
  }
  return none;
}

function buildIdNote(notes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength);
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    const name = at + 12;
    const content = name + ((nameSize + 3) & ~3);
    if (content + size > notes.length) return undefined;
    const isGnu = nameSize === 4 && view.getUint32(name, false) === 0x474e5500;
    if (isGnu && view.getUint32(at + 8, true) === NT_GNU_BUILD_ID)
      return notes.slice(content, content + size);
    at = content + ((size + 3) & ~3);
  }
  return undefined;
}
