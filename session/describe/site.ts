// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { escapeText, hex } from '../../abi/text.js';
import { EventKind } from '../../traces/model.js';
import { type CallSite, type CallSites, callSiteText, type SiteDefinitions } from '../symbols/call-sites.js';

/** Of a register access the site is the instruction itself; of a call, where it returns to. */
function isInstruction(kind: number): boolean {
  return (
    kind === EventKind.LOAD ||
    kind === EventKind.STORE ||
    kind === EventKind.UPDATE ||
    kind === EventKind.SITE
  );
}

/** `qemu-img!nvme_poll+0x1c (nvme.c:123)` with `callSites`, where they are known; else `qemu-img+0x1234`. */
export class SiteNames {
  readonly #definitions: SiteDefinitions;
  readonly #callSites: CallSites | undefined;
  readonly #plain = new Map<number, string>();
  readonly #found = [
    new Map<number, CallSite | undefined>(),
    new Map<number, CallSite | undefined>(),
  ] as const;
  readonly #full = [new Map<number, string>(), new Map<number, string>()] as const;

  constructor(definitions: SiteDefinitions, callSites: CallSites | undefined) {
    this.#definitions = definitions;
    this.#callSites = callSites;
  }

  /** Module and offset in its file, or the bare address where the module is not known. */
  plain(id: number): string | undefined {
    if (id === 0) return undefined;
    const known = this.#plain.get(id);
    if (known !== undefined) return known;
    const site = this.#definitions.sites.get(id);
    if (site === undefined) return undefined;
    const module = this.#definitions.modules.get(site.module);
    const name =
      module === undefined || module.path === '' // memory that no file is behind: code made at run time
        ? hex(site.address)
        : `${escapeText(basename(module.path))}+${hex(site.moduleOffset)}`;
    this.#plain.set(id, name);
    return name;
  }

  /** As well as it is known. An address can be both: the instruction that a call returns to may be an access. */
  name(id: number, kind: number): string | undefined {
    if (this.#callSites === undefined) return this.plain(id);
    const names = this.#full[isInstruction(kind) ? 0 : 1];
    const known = names.get(id);
    if (known !== undefined) return known;
    const plain = this.plain(id);
    const found = this.callSite(id, kind);
    if (plain === undefined) return undefined;
    const module = plain.slice(0, plain.lastIndexOf('+'));
    const name =
      found === undefined
        ? plain
        : found.function === undefined
          ? `${plain} ${callSiteText(found)}`
          : `${module}!${callSiteText(found)}`;
    names.set(id, name);
    return name;
  }

  callSite(id: number, kind: number): CallSite | undefined {
    if (id === 0 || this.#callSites === undefined) return undefined;
    const instruction = isInstruction(kind);
    const found = this.#found[instruction ? 0 : 1];
    if (!found.has(id)) found.set(id, this.#callSites.find(id, !instruction));
    return found.get(id);
  }

  /** The keys of docs/dump-json.md. */
  json(id: number, kind: number): Readonly<Record<string, unknown>> {
    const site = this.plain(id);
    const found = this.callSite(id, kind);
    return {
      ...(site !== undefined && { site }),
      ...(found?.function !== undefined && { function: found.function, function_offset: hex(found.offset) }),
      ...(found !== undefined && found.source.length > 0 && { source: found.source }),
    };
  }
}
