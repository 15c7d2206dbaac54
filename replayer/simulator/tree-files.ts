// SPDX-License-Identifier: Apache-2.0
/** The files of a simulated machine's tree: real files and relative links below one directory. */
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { SIM_NODE_MODE } from '../../abi/wire/sim.js';
import { nodeNumber } from './open-files.js';

export class Tree {
  constructor(readonly root: string) {
    mkdirSync(root, { recursive: true, mode: 0o700 });
  }

  directory(path: string): void {
    mkdirSync(join(this.root, path), { recursive: true });
  }

  /** Text gets its newline. */
  file(path: string, content: string | Uint8Array): void {
    const place = this.#place(path);
    const text =
      typeof content === 'string' && content !== '' && !content.endsWith('\n') ? `${content}\n` : content;
    writeFileSync(place, text, { mode: 0o644 });
  }

  sized(path: string, bytes: number): void {
    this.file(path, '');
    truncateSync(this.#place(path), bytes);
  }

  link(path: string, target: string): void {
    const place = this.#place(path);
    symlinkSync(relative(dirname(path), target), place);
  }

  node(path: string): void {
    const { major, minor } = nodeNumber(path);
    this.sized(path, major * 2 ** 20 + minor);
    chmodSync(this.#place(path), SIM_NODE_MODE | 0o666);
  }

  /** In place: a reader may have it open. */
  update(path: string, content: string | Uint8Array): void {
    const place = join(this.root, path);
    writeFileSync(place, content, { flag: 'r+' });
    truncateSync(place, Buffer.byteLength(content));
  }

  /** Calls back when something was written to the file, with what it was. */
  watch(path: string, written: (text: string) => void): void {
    const place = join(this.root, path);
    watch(place, { persistent: false }, () => {
      try {
        written(readFileSync(place, 'latin1'));
      } catch {
        // It is gone: the machine is being taken away.
      }
    });
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { force: true });
  }

  #place(path: string): string {
    const place = join(this.root, path);
    mkdirSync(dirname(place), { recursive: true });
    return place;
  }
}

export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
