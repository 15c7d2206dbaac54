// SPDX-License-Identifier: Apache-2.0
import { execFileSync, type SpawnSyncOptions, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';

export const root = packageRoot();
const source = join(root, 'test/end-to-end/drivers');
const built = join(root, 'build/end-to-end');

export const command = join(root, 'dist/cli/main.js');
/** `vfiotape record` with the build of the shim that takes memfds for devices. */
export const recordStandin = join(root, 'dist/test/end-to-end/record-standin.js');

/**
 * Whether this test may give up its rights: it is root's, and the project lies where another user can read it, which a directory
 * of mktemp(1)'s is not.
 */
export const givesUpRights = process.geteuid?.() === 0 && isReadByOthers(root);

function isReadByOthers(directory: string): boolean {
  const READ_AND_ENTER = 0o5;
  if ((statSync(directory).mode & READ_AND_ENTER) !== READ_AND_ENTER) return false;
  return dirname(directory) === directory || isReadByOthers(dirname(directory));
}

/** A directory for one test file, gone when its tests are done. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'vfiotape-end-to-end-'));
  after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Compiles a driver of test/end-to-end/drivers, when it is newer than what was built from it. */
export function buildDriver(name: string, flags: readonly string[] = []): string {
  mkdirSync(built, { recursive: true });
  const program = join(built, [name, ...flags].join('').replace(/[^\w-]/g, ''));
  const newest = Math.max(
    ...[`${name}.c`, 'standin-device.h'].map((file) => statSync(join(source, file)).mtimeMs),
  );
  if (existsSync(program) && statSync(program).mtimeMs > newest) return program;
  const draft = `${program}.${process.pid}`;
  execFileSync(process.env['CC'] ?? 'cc', [
    ...['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-D_LARGEFILE64_SOURCE', '-pthread', ...flags],
    ...['-o', draft, join(source, `${name}.c`)],
  ]);
  execFileSync('mv', [draft, program]);
  return program;
}

export interface Outcome {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; nothing here may take a minute. */
export function run(program: string, args: readonly string[], options: SpawnSyncOptions = {}): Outcome {
  const { status, signal, stdout, stderr, error } = spawnSync(program, [...args], {
    timeout: 60_000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    encoding: 'utf8',
  });
  if (error !== undefined && status === null && signal === null) throw error;
  return { status, signal, stdout: String(stdout), stderr: String(stderr) };
}

export function vfiotape(...args: readonly string[]): Outcome {
  return run(process.execPath, [command, ...args]);
}

/** Processes of a program that were started with this argument. */
export function processesOf(program: string, argument: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return readlinkSync(`/proc/${pid}/exe`) === program && words.includes(argument);
      } catch {
        return false; // gone meanwhile, or not ours
      }
    })
    .map(Number);
}

/** Sessions that a killed recorder left of this trace; other tests record at the same time. */
export function sessionsOf(trace: string): readonly string[] {
  return ['/dev/shm', process.env['XDG_RUNTIME_DIR'] ?? '', '/run', tmpdir()]
    .filter((place) => place !== '' && existsSync(place))
    .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
    .filter((path) => {
      const note = join(path, 'session.json');
      return existsSync(note) && readFileSync(note, 'utf8').includes(JSON.stringify(trace));
    });
}
