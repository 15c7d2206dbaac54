// SPDX-License-Identifier: Apache-2.0
/** Asks the simulated kernel what a file of questions says (questions/README.md); probe/script.c asks a real one. */
import { EBADF, ENOTTY } from '../../replayer/kernel/errno.js';
import type { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import { answer, LocalDriver } from '../../replayer/kernel/local-driver.js';
import type { LocalEventfd, LocalProcess } from '../../replayer/kernel/local-process.js';
import { type Mapping, OpenFile } from '../../replayer/kernel/process.js';

const ARGUMENT_BYTES = 8192;
const GET_REGION_INFO = 0x3b6c;
const FLAG_MMAP = 4;
const U64 = 2n ** 64n;

export function askScripts(
  kernel: SimulatedKernel,
  process: LocalProcess,
  scripts: readonly string[],
): Map<string, string> {
  const script = new Script(kernel, process);
  return new Map(scripts.flatMap((text) => [...script.ask(text)]));
}

function littleEndian(value: bigint, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
}

class Script {
  readonly #kernel: SimulatedKernel;
  readonly #process: LocalProcess;
  readonly #driver: LocalDriver;
  readonly #variables = new Map<string, bigint>();
  readonly #eventfds = new Map<number, LocalEventfd>();
  readonly #mappings = new Map<string, { readonly mapping: Mapping; readonly address: bigint }>();

  constructor(kernel: SimulatedKernel, process: LocalProcess) {
    this.#kernel = kernel;
    this.#process = process;
    this.#driver = new LocalDriver(kernel, process);
  }

  *ask(text: string): Generator<[string, string], void, undefined> {
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const [, name, value] = /^let (\S+) (\S+)$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) {
        this.#variables.set(name, this.#value(value));
        continue;
      }
      const colon = line.indexOf(' : ');
      if (colon < 0) throw new Error(`no ' : ' in '${line}'`);
      const [verb = '', ...words] = line.slice(colon + 3).split(' ');
      yield [line.slice(0, colon), this.#ask(verb, words)];
    }
  }

  #ask(verb: string, words: readonly string[]): string {
    const [a = '', b = '', c = '', d = ''] = words;
    switch (verb) {
      case 'open':
        return this.#opened(a, this.#driver.open(this.#path(b)));
      case 'close':
        return this.#close(this.#fd(a));
      case 'eventfd': {
        const { fd, eventfd } = this.#process.eventfd();
        this.#eventfds.set(fd, eventfd);
        return this.#opened(a, fd);
      }
      case 'count':
        this.#kernel.settle();
        return String(this.#eventfds.get(this.#fd(a))?.read() ?? 0n);
      case 'memory': {
        const { address } = this.#process.map(Number(this.#value(b)), { writable: c === '' });
        this.#variables.set(a, address);
        return 'ok';
      }
      case 'peek': {
        const bytes = new Uint8Array(Number(b));
        this.#process.memory.read(this.#value(a), bytes);
        return `0x${numberOf(bytes).toString(16)}`;
      }
      case 'poke':
        this.#process.memory.write(this.#value(a), littleEndian(this.#value(c), Number(b)));
        return 'ok';
      case 'ioctl':
        return this.#ioctl(words, undefined);
      case 'getfd':
        return this.#ioctl(words.slice(1), a);
      case 'value':
        return answer(this.#call(this.#fd(a), this.#value(b), c === '' ? 0n : this.#value(c)));
      case 'region':
        return this.#region(a, this.#fd(b), c);
      case 'pread': {
        const file = this.#file(this.#fd(a));
        const bytes = new Uint8Array(Number(this.#value(c)));
        return answer(typeof file === 'number' ? file : this.#kernel.pread(file, bytes, this.#value(b)));
      }
      case 'read': {
        const file = this.#file(this.#fd(a));
        const bytes = new Uint8Array(Number(this.#value(b)));
        return answer(typeof file === 'number' ? file : this.#kernel.read(file, bytes));
      }
      case 'pwrite': {
        const file = this.#file(this.#fd(a));
        const bytes = littleEndian(this.#value(d), Number(c));
        return answer(typeof file === 'number' ? file : this.#kernel.pwrite(file, bytes, this.#value(b)));
      }
      case 'map':
        return this.#map(a, this.#fd(b), this.#value(c), this.#value(d), words[4] === 'shared');
      case 'unmap': {
        const { mapping, address } = this.#mapping(a);
        mapping.unmap();
        this.#process.unmap(address);
        return '0';
      }
      case 'load':
        return this.#mapping(a).mapping.load(0, 4) === undefined ? 'SIGBUS' : 'ok';
      case 'unbind':
        this.#kernel.administration.takeAway(this.#kernel.devices[0]?.name ?? '');
        return 'ok';
      case 'unbound':
        return this.#kernel.devices[0]?.isOpen === true ? 'no' : 'yes';
      default:
        throw new Error(`no such question: '${verb}'`);
    }
  }

  #path(word: string): string {
    const { nodes } = this.#kernel;
    // The device's group is what it was, also when nothing is there any more.
    if (word === 'group') return `/dev/vfio/${this.#kernel.devices[0]?.groupId}`;
    if (word === 'noiommu') return nodes.find((node) => node.startsWith('/dev/vfio/noiommu-')) ?? '';
    if (word === 'node') return nodes.find((node) => node.startsWith('/dev/vfio/devices/')) ?? '';
    return word;
  }

  #opened(variable: string, fd: number): string {
    this.#variables.set(variable, BigInt(fd));
    return fd < 0 ? answer(fd) : 'ok';
  }

  #close(fd: number): string {
    if (this.#process.file(fd) === undefined) return answer(-EBADF);
    this.#process.close(fd);
    return '0';
  }

  /** A number, NAME, or NAME+number; modulo 2^64. */
  #value(word: string): bigint {
    if (/^-?\d/.test(word))
      return BigInt.asUintN(64, word.startsWith('-') ? -BigInt(word.slice(1)) : BigInt(word));
    const [name = '', more = '0'] = word.split('+');
    return ((this.#variables.get(name) ?? 0n) + BigInt(more)) % U64;
  }

  #fd(word: string): number {
    return Number(BigInt.asIntN(32, this.#value(word)));
  }

  #file(fd: number): OpenFile | number {
    const file = this.#process.file(fd);
    return file instanceof OpenFile ? file : file === undefined ? -EBADF : -ENOTTY;
  }

  #mapping(name: string): { readonly mapping: Mapping; readonly address: bigint } {
    const found = this.#mappings.get(name);
    if (found === undefined) throw new Error(`'${name}' is not mapped`);
    return found;
  }

  #call(fd: number, request: bigint, argument: bigint): number {
    const file = this.#file(fd);
    return typeof file === 'number'
      ? file
      : this.#kernel.ioctl(this.#process, file, Number(request), argument);
  }

  #ioctl(words: readonly string[], keep: string | undefined): string {
    const arrow = words.includes('->') ? words.indexOf('->') : words.length;
    const bytes = new Uint8Array(ARGUMENT_BYTES);
    let size = 0;
    for (const word of words.slice(2, arrow)) {
      const field = this.#field(word);
      bytes.set(field, size);
      size += field.length;
    }
    const fd = this.#fd(words[0] ?? '');
    const request = Number(this.#value(words[1] ?? ''));
    const file = this.#file(fd);
    const result = typeof file === 'number' ? file : this.#driver.ioctlBytes(fd, request, bytes);
    let text = keep === undefined || result < 0 ? answer(result) : this.#opened(keep, result);
    for (const word of words.slice(arrow + 1)) {
      const [, name, width, at] = /^(?:(\w+)=)?(\d)@(\d+)$/.exec(word) ?? [];
      const value = numberOf(bytes.subarray(Number(at), Number(at) + Number(width)));
      if (name === undefined) text += ` 0x${value.toString(16)}`;
      else this.#variables.set(name, value);
    }
    return text;
  }

  #field(word: string): Uint8Array {
    const [kind = '', value = ''] = word.split(':');
    if (kind === 'name') return new TextEncoder().encode(`${this.#kernel.devices[0]?.name}\0`);
    if (kind === 'zeros') return new Uint8Array(Number(value));
    return littleEndian(this.#value(value), Number(kind));
  }

  #region(name: string, fd: number, index: string): string {
    for (let at = index === 'bar' ? 0 : Number(this.#value(index)); ; at++) {
      const bytes = new Uint8Array(32);
      bytes.set([32], 0);
      bytes.set(littleEndian(BigInt(at), 4), 8);
      const result = this.#driver.ioctlBytes(fd, GET_REGION_INFO, bytes);
      if (result < 0) return answer(result);
      if (index === 'bar' && ((bytes[4] as number) & FLAG_MMAP) === 0) continue;
      this.#variables.set(name, numberOf(bytes.subarray(24, 32)));
      this.#variables.set(`${name}.size`, numberOf(bytes.subarray(16, 24)));
      return 'ok';
    }
  }

  #map(name: string, fd: number, offset: bigint, length: bigint, shared: boolean): string {
    const file = this.#file(fd);
    const mapping = typeof file === 'number' ? file : this.#kernel.mmap(file, { offset, length, shared });
    if (typeof mapping === 'number') return answer(mapping);
    // Its place in the process, for who passes its address on.
    const { address } = this.#process.map(Number(length), { device: true });
    this.#mappings.set(name, { mapping, address });
    this.#variables.set(name, address);
    return 'ok';
  }
}
