// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { escapeText, hex } from '../../abi/text.js';
import type { ModuleDefinition, SiteDefinition } from '../../traces/model.js';
import { findFiles, type SearchPlaces } from './find-files.js';
import { ModuleSymbols } from './module-symbols.js';
import { NO_TOOL, type SourceLine } from './source-lines.js';

/** What call sites are named from; a trace's DefinitionMaps will do. */
export interface SiteDefinitions {
  readonly sites: ReadonlyMap<number, SiteDefinition>;
  readonly modules: ReadonlyMap<number, ModuleDefinition>;
}

export interface CallSite {
  /** As the linker knows it: not demangled. */
  readonly function: string | undefined;
  /** From the start of the function. */
  readonly offset: number;
  /** The innermost inlined call first; empty without debug information. */
  readonly source: readonly SourceLine[];
}

export const DEBUG_DIRECTORIES: readonly string[] = ['/usr/lib/debug'];

/** Sites are looked up in the files of this machine, those of a file together when the first of them is asked for. */
export class CallSites {
  readonly #definitions: SiteDefinitions;
  readonly #places: SearchPlaces;
  /** By build-id and path. */
  readonly #files = new Map<string, ModuleSymbols | undefined>();
  readonly #changed = new Set<string>();
  readonly #absent = new Set<string>();
  readonly #nameless = new Set<string>();
  readonly #failures = new Set<string>();

  constructor(definitions: SiteDefinitions, directories: readonly string[] = []) {
    this.#definitions = definitions;
    this.#places = { directories, debugDirectories: DEBUG_DIRECTORIES };
  }

  /** `returns`: the site is where a call returns to, one instruction behind the one that is meant. */
  find(id: number, returns: boolean): CallSite | undefined {
    const site = this.#definitions.sites.get(id);
    const module = site && this.#definitions.modules.get(site.module);
    if (site === undefined || module === undefined) return undefined;
    const symbols = this.#symbolsOf(module);
    if (symbols === undefined) return undefined;
    const address = this.#addressOf(symbols, site, module);
    if (address === undefined) return undefined;
    const asked = returns ? address - 1 : address;
    this.#readLines(symbols, module, asked);
    const named = symbols.functionAt(asked);
    const source = symbols.linesAt(asked);
    if (named === undefined && source.length === 0) return undefined;
    return { function: named?.name, offset: named === undefined ? 0 : address - named.address, source };
  }

  #symbolsOf({ path, buildId }: ModuleDefinition): ModuleSymbols | undefined {
    if (!path.startsWith('/')) return undefined; // [vdso], memory without a file
    const id = Buffer.from(buildId).toString('hex');
    const key = `${id} ${path}`;
    if (this.#files.has(key)) return this.#files.get(key);
    let symbols: ModuleSymbols | undefined;
    if (id === '') this.#nameless.add(path);
    else {
      const found = findFiles(path, id, this.#places);
      if (found === 'changed') this.#changed.add(path);
      else if (found === 'absent') this.#absent.add(path);
      else symbols = new ModuleSymbols(found);
    }
    this.#files.set(key, symbols);
    return symbols;
  }

  #addressOf(symbols: ModuleSymbols, site: SiteDefinition, module: ModuleDefinition): number | undefined {
    return symbols.addressOf(site, () =>
      [...this.#definitions.modules.values()].filter(
        ({ process, path }) => process === site.process && path === module.path,
      ),
    );
  }

  /** Of all sites of the file, as a call's and as an access's: one child for them all. */
  #readLines(symbols: ModuleSymbols, module: ModuleDefinition, asked: number): void {
    if (symbols.wasAsked(asked)) return;
    const addresses: number[] = [];
    for (const site of this.#definitions.sites.values()) {
      const home = this.#definitions.modules.get(site.module);
      if (home === undefined || this.#symbolsOf(home) !== symbols) continue;
      const address = this.#addressOf(symbols, site, home);
      if (address !== undefined) addresses.push(address, address - 1);
    }
    const failure = symbols.readLines(addresses);
    if (failure !== undefined)
      this.#failures.add(failure === NO_TOOL ? failure : `${module.path}: ${failure}`);
  }

  /** What the reader should know, one line each; the user's own --symbols are expected to help. */
  notes(): readonly string[] {
    const notes: string[] = [];
    const list = (paths: ReadonlySet<string>) => {
      const names = [...paths].map((path) => escapeText(path));
      return names.length > 4
        ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`
        : names.join(', ');
    };
    const give = '--symbols DIR gives a directory with the recorded one';
    if (this.#changed.size > 0) {
      notes.push(`changed since the recording, by build-id: ${list(this.#changed)}; ${give}`);
    }
    if (this.#absent.size > 0 && this.#places.directories.length > 0) {
      notes.push(`not found, by build-id: ${list(this.#absent)}; ${give}`);
    }
    if (this.#nameless.size > 0) {
      notes.push(`recorded without a build-id, so no file can be trusted to be it: ${list(this.#nameless)}`);
    }
    for (const failure of this.#failures) notes.push(`no source lines: ${escapeText(failure)}`);
    return notes;
  }

  close(): void {
    for (const symbols of this.#files.values()) symbols?.close();
    this.#files.clear();
  }
}

const FRAMES_SHOWN = 4;

/** `nvme_poll+0x1c (nvme.c:123)`; inlined calls as `(write32 io.h:20 < nvme.c:123)`, innermost first. */
export function callSiteText({ function: name, offset, source }: CallSite): string {
  const frames = source.slice(0, FRAMES_SHOWN).map((frame, n) => {
    const inlined = n + 1 < source.length && frame.function !== undefined ? `${frame.function} ` : '';
    return `${inlined}${basename(frame.file)}:${frame.line}`;
  });
  if (source.length > FRAMES_SHOWN) frames.push('…');
  const where = frames.length === 0 ? '' : ` (${frames.join(' < ')})`;
  return escapeText(name === undefined ? where.trimStart() : `${name}+${hex(offset)}${where}`);
}
