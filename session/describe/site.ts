// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { escapeText, hex } from '../../abi/text.js';
import type { ModuleDefinition, SiteDefinition } from '../../traces/model.js';

/** What call sites are named from; a trace's DefinitionMaps will do. */
export interface SiteDefinitions {
  readonly sites: ReadonlyMap<number, SiteDefinition>;
  readonly modules: ReadonlyMap<number, ModuleDefinition>;
}

/** `qemu-img+0x1234`: module and offset in its file, or the bare address where the module is not known. */
export class SiteNames {
  readonly #definitions: SiteDefinitions;
  readonly #names = new Map<number, string>();

  constructor(definitions: SiteDefinitions) {
    this.#definitions = definitions;
  }

  name(id: number): string | undefined {
    if (id === 0) return undefined;
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const site = this.#definitions.sites.get(id);
    if (site === undefined) return undefined;
    const module = this.#definitions.modules.get(site.module);
    const name =
      module === undefined
        ? hex(site.address)
        : `${escapeText(basename(module.path))}+${hex(site.moduleOffset)}`;
    this.#names.set(id, name);
    return name;
  }
}
