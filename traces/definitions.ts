// SPDX-License-Identifier: Apache-2.0
import { MAX_DEFINITIONS, MAX_DEFINITIONS_BYTES } from './limits.js';
import { DEFINITIONS, decodeMessage } from './messages.js';
import type {
  Definitions,
  DeviceDefinition,
  MmioSiteDefinition,
  ModuleDefinition,
  ObjectDefinition,
  ProcessDefinition,
  SiteDefinition,
  ThreadDefinition,
} from './model.js';

/** Definitions by id. Of a stream they grow while it is read. */
export interface DefinitionMaps {
  readonly processes: ReadonlyMap<number, ProcessDefinition>;
  readonly threads: ReadonlyMap<number, ThreadDefinition>;
  readonly objects: ReadonlyMap<number, ObjectDefinition>;
  readonly modules: ReadonlyMap<number, ModuleDefinition>;
  readonly sites: ReadonlyMap<number, SiteDefinition>;
  readonly devices: ReadonlyMap<number, DeviceDefinition>;
  /** By Site.id. */
  readonly mmioSites: ReadonlyMap<number, MmioSiteDefinition>;
}

/** The lists of Definitions, for whoever goes through all of them. */
export const DEFINITION_LISTS = [
  'processes',
  'threads',
  'objects',
  'modules',
  'sites',
  'devices',
  'mmioSites',
] as const;

export class DefinitionStore implements DefinitionMaps {
  readonly processes = new Map<number, ProcessDefinition>();
  readonly threads = new Map<number, ThreadDefinition>();
  readonly objects = new Map<number, ObjectDefinition>();
  readonly modules = new Map<number, ModuleDefinition>();
  readonly sites = new Map<number, SiteDefinition>();
  readonly devices = new Map<number, DeviceDefinition>();
  readonly mmioSites = new Map<number, MmioSiteDefinition>();
  private count = 0;
  private bytes = 0;

  /** Takes a definitions packet's content; an Error says why it can't. */
  add(content: Uint8Array): void {
    this.bytes += content.length;
    if (this.bytes > MAX_DEFINITIONS_BYTES) {
      throw new RangeError(`more than ${MAX_DEFINITIONS_BYTES} bytes of definitions`);
    }
    const more = decodeMessage(DEFINITIONS, content);
    this.count += countDefinitions(more);
    if (this.count > MAX_DEFINITIONS) {
      throw new RangeError(`more than ${MAX_DEFINITIONS} definitions`);
    }
    for (const list of ['processes', 'threads', 'objects', 'modules', 'sites', 'devices'] as const) {
      const map: Map<number, unknown> = this[list];
      for (const definition of more[list]) {
        map.set(definition.id, definition);
      }
    }
    for (const definition of more.mmioSites) {
      this.mmioSites.set(definition.site, definition);
    }
  }
}

/** All of them as lists, as they were written but for those that a later one replaced. */
export function listsOf(definitions: DefinitionMaps): Definitions {
  return {
    processes: [...definitions.processes.values()],
    threads: [...definitions.threads.values()],
    objects: [...definitions.objects.values()],
    modules: [...definitions.modules.values()],
    sites: [...definitions.sites.values()],
    devices: [...definitions.devices.values()],
    mmioSites: [...definitions.mmioSites.values()],
  };
}

export function countDefinitions(definitions: Partial<Definitions>): number {
  let count = 0;
  for (const list of DEFINITION_LISTS) {
    count += definitions[list]?.length ?? 0;
  }
  return count;
}
