// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';

/** A place in the source; `function` is the one whose text it is, inlined or not. */
export interface SourceLine {
  readonly function: string | undefined;
  readonly file: string;
  readonly line: number;
}

/** Reading the debug information of a large program takes seconds. */
const TIMEOUT_MS = 120_000;
const OUTPUT_MAX = 64 << 20;
const FRAMES_MAX = 64;

interface Tool {
  readonly command: string;
  readonly arguments: (file: string) => readonly string[];
}

// The first is faster where there is much debug information; both print the same.
const TOOLS: readonly Tool[] = [
  {
    command: 'llvm-symbolizer',
    arguments: (file) => [
      '--output-style=GNU',
      '--addresses',
      '--functions=linkage',
      '--inlines',
      '--no-demangle',
      `--obj=${file}`,
    ],
  },
  { command: 'addr2line', arguments: (file) => ['-a', '-f', '-i', '-e', file] },
];

/**
 * Lines by somebody else's DWARF reader: one child for all the addresses of a file. The map has, for each address with
 * a known line, the innermost inlined call first. The text: what went wrong.
 */
export function readSourceLines(
  file: string,
  addresses: readonly number[],
): ReadonlyMap<number, readonly SourceLine[]> | string {
  const { DEBUGINFOD_URLS: _never, ...env } = process.env; // nothing is fetched from anywhere
  const input = addresses.map((address) => `0x${address.toString(16)}\n`).join('');
  for (const tool of TOOLS) {
    const { error, status, signal, stdout } = spawnSync(tool.command, tool.arguments(file), {
      input,
      env,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_MAX,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const code = (error as NodeJS.ErrnoException | undefined)?.code;
    if (code === 'ENOENT' || code === 'EACCES') continue;
    // It may end before it has read all that it was asked.
    if (error !== undefined && code !== 'EPIPE') return `${tool.command}: ${error.message}`;
    if (status !== 0) return `${tool.command} ended with ${signal ?? `status ${status}`}`;
    return parseLines(stdout);
  }
  return NO_TOOL;
}

export const NO_TOOL = 'neither llvm-symbolizer nor addr2line is installed';

/** `0xADDRESS`, then pairs of lines: a function, and `FILE:LINE`, with what DWARF says of the place behind it. */
export function parseLines(text: string): ReadonlyMap<number, readonly SourceLine[]> {
  const found = new Map<number, SourceLine[]>();
  let address: number | undefined;
  let name: string | undefined;
  for (const line of text.split('\n')) {
    if (/^0x[0-9a-f]+$/.test(line)) {
      address = Number(line);
      name = undefined;
    } else if (address !== undefined && line !== '') {
      if (name === undefined) name = line;
      else {
        const place = /^(.+):(\d+)(?: \(.*\))?$/.exec(line);
        if (place !== null && place[1] !== '??' && place[2] !== '0') {
          const lines = found.get(address) ?? [];
          if (lines.length < FRAMES_MAX) {
            lines.push({
              function: name === '??' ? undefined : name,
              file: place[1] as string,
              line: Number(place[2]),
            });
          }
          found.set(address, lines);
        }
        name = undefined;
      }
    }
  }
  return found;
}
