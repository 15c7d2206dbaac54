// SPDX-License-Identifier: Apache-2.0
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UserError } from '../../abi/user-error.js';

const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PT_INTERP = 3;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const X_GROUP = 0o010;
/** BINPRM_BUF_SIZE: the kernel looks no further for the interpreter of a script. */
const SCRIPT_LINE_MAX = 256;
/** The kernel follows an interpreter that is a script itself this often (fs/exec.c, exec_binprm). */
const SCRIPTS_MAX = 5;

/**
 * Finds the program that execvp would run, and refuses, before anything is started, what an LD_PRELOAD library can't
 * get into: a recording of nothing must not look like a recording of a driver that did nothing.
 */
export function findDriver(command: string, path: string = process.env['PATH'] ?? '/bin:/usr/bin'): string {
  const found = command.includes('/') ? command : search(command, path);
  inspect(found, command, 0);
  return found;
}

function search(command: string, path: string): string {
  let forbidden: string | undefined;
  for (const directory of path.split(delimiter)) {
    const candidate = join(directory === '' ? '.' : directory, command);
    try {
      if (!statSync(candidate).isFile()) continue;
      accessSync(candidate, constants.X_OK);
      return candidate.includes('/') ? candidate : `./${candidate}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') forbidden ??= candidate;
    }
  }
  if (forbidden !== undefined) throw new UserError(`${forbidden} is not executable; chmod +x it`);
  throw new UserError(`no driver named '${command}' in PATH; give its path`);
}

function inspect(file: string, command: string, scripts: number): void {
  const stats = statOf(file);
  if (stats.isDirectory()) throw new UserError(`${file} is a directory; name the driver's program`);
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw new UserError(`${file} is not executable; chmod +x it`);
  }
  if (!stats.isFile()) throw new UserError(`${file} is not a program`);
  refusePrivileged(file, stats);
  let head: Uint8Array;
  try {
    head = readStart(file, 4096);
  } catch {
    // Executable and not readable: the loader will tell; whether the shim attached is looked at after the start.
    return;
  }
  if (head[0] === 0x23 && head[1] === 0x21) {
    const interpreter = interpreterOf(head);
    if (interpreter === undefined) return;
    if (scripts === SCRIPTS_MAX)
      throw new UserError(`${command}: its interpreter's interpreter's … is a script, too`);
    if (statSync(interpreter, { throwIfNoEntry: false }) === undefined) {
      throw new UserError(`${file} is a script for ${interpreter}, which is not there`);
    }
    inspect(interpreter, command, scripts + 1);
    return;
  }
  inspectElf(file, head);
}

function statOf(file: string): Stats {
  try {
    return statSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new UserError(`no such driver: ${file}`);
    throw new UserError(`${file}: ${(error as Error).message}`);
  }
}

/** The loader of a program that gains privileges drops LD_PRELOAD (ld.so(8), secure-execution mode). */
function refusePrivileged(file: string, stats: Stats): void {
  const user = (stats.mode & S_ISUID) !== 0 && stats.uid !== process.geteuid?.();
  const group =
    (stats.mode & (S_ISGID | X_GROUP)) === (S_ISGID | X_GROUP) && stats.gid !== process.getegid?.();
  if (user || group) {
    throw new UserError(
      `${file} is ${user ? 'setuid' : 'setgid'}: the loader keeps the recorder out of it; run vfiotape itself with those rights, on a copy without the bit`,
    );
  }
}

function readStart(file: string, bytes: number): Uint8Array {
  const fd = openSync(file, 'r');
  try {
    const buffer = new Uint8Array(bytes);
    return buffer.subarray(0, readSync(fd, buffer, 0, bytes, 0));
  } finally {
    closeSync(fd);
  }
}

function interpreterOf(head: Uint8Array): string | undefined {
  const text = Buffer.from(head.subarray(2, SCRIPT_LINE_MAX)).toString('latin1');
  const line = text.split('\n', 1)[0] ?? '';
  return /^[ \t]*([^ \t\0]+)/.exec(line)?.[1];
}

function inspectElf(file: string, head: Uint8Array): void {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  // No ELF and no #!: execvp gives it to /bin/sh.
  if (head.length < 64 || view.getUint32(0, false) !== 0x7f454c46) return;
  if (head[4] === 1) throw new UserError(`${file} is a 32-bit program; vfiotape records 64-bit x86 programs`);
  const machine = view.getUint16(18, true);
  if (machine !== EM_X86_64) {
    throw new UserError(
      `${file} is built for another processor (ELF machine ${machine}); vfiotape records x86-64 programs`,
    );
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) throw new UserError(`${file} is an ELF file, but not a program`);
  const interpreter = elfInterpreter(file, view);
  if (interpreter === undefined) {
    throw new UserError(
      `${file} is statically linked: nothing of it can be recorded; link it dynamically (without -static, Go: with cgo)`,
    );
  }
  if (interpreter.includes('ld-musl')) {
    throw new UserError(
      `${file} is built for musl (${interpreter}); vfiotape records programs of the GNU C library`,
    );
  }
}

function elfInterpreter(file: string, head: DataView): string | undefined {
  const tableAt = Number(head.getBigUint64(32, true));
  const entrySize = head.getUint16(54, true);
  const count = head.getUint16(56, true);
  const fd = openSync(file, 'r');
  try {
    const entry = new DataView(new ArrayBuffer(56));
    for (let n = 0; n < count && entrySize >= 56; n++) {
      if (readSync(fd, entry, 0, 56, tableAt + n * entrySize) < 56) break;
      if (entry.getUint32(0, true) !== PT_INTERP) continue;
      const path = new Uint8Array(Math.min(4096, Number(entry.getBigUint64(32, true))));
      const got = readSync(fd, path, 0, path.length, Number(entry.getBigUint64(8, true)));
      return Buffer.from(path.subarray(0, got)).toString('latin1').replace(/\0.*$/s, '');
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}
