// SPDX-License-Identifier: Apache-2.0
/**
 * What a call costs through koffi, and through ffi-napi, whose plain installation fails on the Nodes of today: it is fetched into a
 * directory of its own without its scripts, and where that can't be had only koffi's figures are there.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Libc } from '../../replayer/native/libc.js';
import { type Area, medianOf, threadCpuNs } from './harness.js';

const run = promisify(execFile);
const CALLS = 50_000;
const FFI_NAPI = 'ffi-napi@4.0.3';

/** Prints the ns of CPU time of a call: getpid, and pread of four bytes. */
const SCRIPT = `
const ffi = require('ffi-napi');
const { readFileSync, openSync } = require('node:fs');
const libc = ffi.Library(null, { getpid: ['int', []], pread64: ['long', ['int', 'pointer', 'size_t', 'long']] });
const cpu = () => Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]);
const fd = openSync('/dev/zero', 'r');
const bytes = Buffer.alloc(4);
const median = (call, calls) => {
  const costs = [];
  for (let n = 0; n < 11; n++) {
    const start = cpu();
    for (let i = 0; i < calls; i++) call();
    costs.push((cpu() - start) / calls);
  }
  return costs.sort((a, b) => a - b)[5];
};
console.log(JSON.stringify([median(() => libc.getpid(), 5000), median(() => libc.pread64(fd, bytes, 4, 0), 1000)]));
`;

async function ffiNapi(): Promise<readonly [number, number] | string> {
  const directory = await mkdtemp(join(tmpdir(), 'vfiotape-ffi-'));
  try {
    await writeFile(join(directory, 'package.json'), '{}');
    const options = { cwd: directory, timeout: 120_000 };
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', FFI_NAPI], options);
    await writeFile(join(directory, 'calls.cjs'), SCRIPT);
    const { stdout } = await run(process.execPath, ['calls.cjs'], options);
    return JSON.parse(stdout) as [number, number];
  } catch (error) {
    return String((error as Error).message).split('\n')[0] ?? '';
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const each = (call: () => void) =>
  medianOf(() => {
    const start = threadCpuNs();
    for (let i = 0; i < CALLS; i++) call();
    return (threadCpuNs() - start) / CALLS;
  });

export const area: Area = {
  name: 'ffi',
  async run(report) {
    const libc = new Libc();
    const getpid = libc.function('getpid', 'int', []);
    const pread = libc.function('pread64', 'int64_t', ['int', 'void *', 'size_t', 'int64_t']);
    const fd = libc.open('/dev/zero', 0);
    const bytes = new Uint8Array(new ArrayBuffer(4));
    const unit = 'ns a call';
    report({ name: 'ffi.koffi_getpid_ns', value: await each(() => getpid()), unit, goal: '' });
    report({ name: 'ffi.koffi_pread_ns', value: await each(() => pread(fd, bytes, 4, 0)), unit, goal: '' });
    libc.close(fd);
    const others = await ffiNapi();
    if (typeof others === 'string') {
      process.stdout.write(`ffi.napi_*: not measured, ${FFI_NAPI} can't be had here: ${others}\n`);
      return;
    }
    report({ name: 'ffi.napi_getpid_ns', value: others[0], unit, goal: '' });
    report({ name: 'ffi.napi_pread_ns', value: others[1], unit, goal: '' });
  },
};
