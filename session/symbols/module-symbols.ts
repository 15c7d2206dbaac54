// SPDX-License-Identifier: Apache-2.0
import type { ModuleDefinition, SiteDefinition } from '../../traces/model.js';
import { SectionType } from './elf.js';
import { type FoundFile, miniDebugInformation, type Search } from './find-files.js';
import { FunctionTable, type NamedFunction } from './functions.js';
import { readSourceLines, type SourceLine } from './source-lines.js';

/** x86-64: the mapping of a segment starts at its page. */
const PAGE = 4096;

/** What is known of the code of one file. */
export class ModuleSymbols {
  readonly #binary: FoundFile | undefined;
  readonly #debug: FoundFile | undefined;
  #functions: readonly FunctionTable[] | undefined;
  readonly #lines = new Map<number, readonly SourceLine[]>();
  readonly #asked = new Set<number>();

  constructor({ binary, debug }: Exclude<Search, string>) {
    this.#binary = binary;
    this.#debug = debug;
  }

  /**
   * Where a site lies in the file's own addresses. With the file, by its program headers. Debug information that was
   * split off keeps their addresses but not their offsets: then by the lowest mapping of the code in that process,
   * which is where the code's only segment was put.
   */
  addressOf(site: SiteDefinition, mappings: () => readonly ModuleDefinition[]): number | undefined {
    if (this.#binary !== undefined) return this.#binary.elf.addressOf(Number(site.moduleOffset));
    const code = this.#debug?.elf.segments.filter(({ executable }) => executable) ?? [];
    const [segment] = code;
    if (segment === undefined || code.length > 1) return undefined;
    let lowest = site.address;
    for (const { start } of mappings()) if (start < lowest) lowest = start;
    const address = Number(site.address - lowest) + segment.address - (segment.address % PAGE);
    return address < segment.address + segment.memorySize ? address : undefined;
  }

  functionAt(address: number): NamedFunction | undefined {
    this.#functions ??= this.#readFunctions();
    for (const functions of this.#functions) {
      const found = functions.at(address);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The full table where there is one: the names for dynamic linking are a part of it. */
  #readFunctions(): readonly FunctionTable[] {
    for (const file of [this.#binary, this.#debug]) {
      const all = file && FunctionTable.of(file.elf, SectionType.SYMTAB);
      if (all !== undefined) return [all];
    }
    if (this.#binary === undefined) return [];
    const mini = miniDebugInformation(this.#binary.elf);
    const tables = [
      FunctionTable.of(this.#binary.elf, SectionType.DYNSYM),
      mini && FunctionTable.of(mini, SectionType.SYMTAB),
    ];
    return tables.filter((table) => table !== undefined);
  }

  wasAsked(address: number): boolean {
    return this.#asked.has(address);
  }

  /** Asks for the lines of addresses that were not asked for before; the text: why there are none. */
  readLines(addresses: Iterable<number>): string | undefined {
    const fresh = [...new Set(addresses)].filter((address) => !this.#asked.has(address));
    const file = [this.#binary, this.#debug].find((candidate) =>
      candidate?.elf.sections.some(({ name, type }) => LINE_TABLE.test(name) && type !== SectionType.NOBITS),
    );
    for (const address of fresh) this.#asked.add(address);
    if (fresh.length === 0 || file === undefined) return undefined;
    const found = readSourceLines(file.path, fresh);
    if (typeof found === 'string') return found;
    for (const [address, lines] of found) this.#lines.set(address, lines);
    return undefined;
  }

  linesAt(address: number): readonly SourceLine[] {
    return this.#lines.get(address) ?? [];
  }

  close(): void {
    this.#binary?.elf.close();
    this.#debug?.elf.close();
  }
}

const LINE_TABLE = /^\.z?debug_line$/;
