// SPDX-License-Identifier: Apache-2.0
import { ObjectKind } from '../../abi/wire/record.js';
import type {
  Definitions,
  DeviceDefinition,
  MmioSiteDefinition,
  ModuleDefinition,
  ObjectDefinition,
  ProcessDefinition,
  SiteDefinition,
} from '../../traces/model.js';

type Lists = { -readonly [K in keyof Definitions]: Definitions[K][number][] };

const CACHE = 4096;
/** Machine code that is made at run time could name any number of sites. */
const SITES_MAX = 1 << 17;

function none(): Lists {
  return { processes: [], threads: [], objects: [], modules: [], sites: [], devices: [], mmioSites: [] };
}

export function siteSlot(process: number, low: number): number {
  return (low ^ (low >>> 12) ^ (process << 5)) & (CACHE - 1);
}

/** Gives ids to what events refer to, and keeps what the file has not been told yet. */
export class Definer {
  private pending = none();
  private any = false;

  readonly processes = new Map<number, ProcessDefinition>();
  readonly objects = new Map<number, ObjectDefinition>();
  private readonly threads = new Map<string, number>();
  private readonly modules = new Map<number, ModuleDefinition[]>();
  private readonly devices = new Map<string, number>();
  private readonly sites = new Map<number, Map<number, number>>();
  private readonly homeless = new Map<number, SiteDefinition[]>();
  private lastThread = 0;
  private lastModule = 0;
  private lastSite = 0;

  /** Sites that were asked for lately, in the slot that `siteSlot` gives: for Translator.appendPlain. */
  readonly siteCache = {
    low: new Uint32Array(CACHE),
    high: new Uint32Array(CACHE),
    process: new Uint32Array(CACHE),
    id: new Uint32Array(CACHE),
  };

  /** A site whose mapping is not known: the process's map may have changed. */
  onUnknownSite: (process: number) => void = () => undefined;

  /** What a file that is continued already says. */
  preload(known: Definitions): void {
    for (const process of known.processes) this.processes.set(process.id, process);
    for (const object of known.objects) this.objects.set(object.id, object);
    for (const thread of known.threads) {
      this.threads.set(`${thread.process}:${thread.tid}`, thread.id);
      this.lastThread = Math.max(this.lastThread, thread.id);
    }
    for (const module of known.modules) {
      this.lastModule = Math.max(this.lastModule, module.id);
      this.modulesOf(module.process).push(module);
    }
    for (const site of known.sites) {
      this.lastSite = Math.max(this.lastSite, site.id);
      this.sitesOf(site.process).set(Number(site.address), site.id);
    }
    for (const device of known.devices) this.devices.set(device.bdf, device.id);
  }

  get hasPending(): boolean {
    return this.any;
  }

  take(): Definitions {
    const taken = this.pending;
    this.pending = none();
    this.any = false;
    return taken;
  }

  /** The file did not get them: next time, unless a newer one has come. */
  putBack(lists: Definitions): void {
    const newer = this.pending;
    this.pending = {
      processes: [...lists.processes, ...newer.processes],
      threads: [...lists.threads, ...newer.threads],
      objects: [...lists.objects, ...newer.objects],
      modules: [...lists.modules, ...newer.modules],
      sites: [...lists.sites, ...newer.sites],
      devices: [...lists.devices, ...newer.devices],
      mmioSites: [...lists.mmioSites, ...newer.mmioSites],
    };
    this.any = true;
  }

  process(definition: ProcessDefinition): void {
    this.processes.set(definition.id, definition);
    this.pending.processes.push(definition);
    this.any = true;
  }

  /** A thread that begins: its number may have belonged to another one before. */
  newThread(process: number, tid: number, name: string): number {
    this.lastThread += 1;
    const id = this.lastThread;
    this.threads.set(`${process}:${tid}`, id);
    this.pending.threads.push({ id, process, tid, name });
    this.any = true;
    return id;
  }

  thread(process: number, tid: number): number {
    return this.threads.get(`${process}:${tid}`) ?? this.newThread(process, tid, '');
  }

  object(definition: ObjectDefinition): void {
    if (definition.id === 0) return;
    const known = this.objects.get(definition.id);
    // A second announcement (a descriptor received from another process) adds what the first did not know.
    const merged: ObjectDefinition =
      known === undefined
        ? definition
        : {
            ...known,
            kind: known.kind === 0 ? definition.kind : known.kind,
            path: known.path === '' ? definition.path : known.path,
            parent: known.parent === 0 ? definition.parent : known.parent,
            device: known.device === 0 ? definition.device : known.device,
          };
    this.objects.set(definition.id, merged);
    this.pending.objects.push(merged);
    this.any = true;
  }

  device(bdf: string, describe: (id: number) => DeviceDefinition | undefined): number {
    const known = this.devices.get(bdf);
    if (known !== undefined) return known;
    const definition = describe(this.devices.size + 1);
    if (definition === undefined) return 0;
    this.devices.set(bdf, definition.id);
    this.pending.devices.push(definition);
    this.any = true;
    return definition.id;
  }

  /** The latest open of the device at this address; 0 when it was not opened. */
  openDevice(bdf: string): number {
    const device = this.devices.get(bdf);
    if (device === undefined) return 0;
    let found = 0;
    for (const object of this.objects.values())
      if (object.device === device && (object.kind === ObjectKind.DEVICE || object.kind === ObjectKind.CDEV))
        found = object.id;
    return found;
  }

  mmioSite(definition: MmioSiteDefinition): void {
    this.pending.mmioSites.push(definition);
    this.any = true;
  }

  /** Mappings that are new, or that took the place of others, since this was called last. */
  mappings(
    process: number,
    found: readonly Omit<ModuleDefinition, 'id' | 'process' | 'buildId'>[],
    buildId: (path: string) => Uint8Array,
  ): void {
    const known = this.modulesOf(process);
    for (const mapping of found) {
      const same = known.some(
        (module) =>
          module.start === mapping.start &&
          module.end === mapping.end &&
          module.fileOffset === mapping.fileOffset &&
          module.path === mapping.path,
      );
      if (same) continue;
      this.lastModule += 1;
      const module = { ...mapping, id: this.lastModule, process, buildId: buildId(mapping.path) };
      // The newest first: an address that was mapped again belongs to the later mapping.
      known.unshift(module);
      this.pending.modules.push(module);
      this.any = true;
    }
    const waiting = this.homeless.get(process) ?? [];
    const still: SiteDefinition[] = [];
    for (const site of waiting) {
      const module = this.moduleAt(process, site.address);
      if (module === undefined) still.push(site);
      else this.pending.sites.push(this.placed(site, module));
    }
    this.homeless.set(process, still);
  }

  /** Id of an instruction address, given as its low 32 and high 16 bits. */
  site(process: number, low: number, high: number): number {
    if (low === 0 && high === 0) return 0;
    const cache = this.siteCache;
    const slot = siteSlot(process, low);
    if (cache.low[slot] === low && cache.high[slot] === high && cache.process[slot] === process) {
      return cache.id[slot] as number;
    }
    const address = high * 4294967296 + low;
    const sites = this.sitesOf(process);
    let id = sites.get(address);
    if (id === undefined) {
      if (this.lastSite >= SITES_MAX) return 0;
      this.lastSite += 1;
      id = this.lastSite;
      sites.set(address, id);
      this.defineSite({ id, process, address: BigInt(address), module: 0, moduleOffset: 0n });
    }
    cache.low[slot] = low;
    cache.high[slot] = high;
    cache.process[slot] = process;
    cache.id[slot] = id;
    return id;
  }

  private defineSite(site: SiteDefinition): void {
    let module = this.moduleAt(site.process, site.address);
    if (module === undefined) {
      this.onUnknownSite(site.process);
      module = this.moduleAt(site.process, site.address);
    }
    if (module === undefined) {
      const waiting = this.homeless.get(site.process);
      if (waiting === undefined) this.homeless.set(site.process, [site]);
      else waiting.push(site);
    }
    this.pending.sites.push(module === undefined ? site : this.placed(site, module));
    this.any = true;
  }

  private placed(site: SiteDefinition, module: ModuleDefinition): SiteDefinition {
    return { ...site, module: module.id, moduleOffset: site.address - module.start + module.fileOffset };
  }

  private moduleAt(process: number, address: bigint): ModuleDefinition | undefined {
    return this.modulesOf(process).find((module) => address >= module.start && address < module.end);
  }

  private modulesOf(process: number): ModuleDefinition[] {
    let modules = this.modules.get(process);
    if (modules === undefined) {
      modules = [];
      this.modules.set(process, modules);
    }
    return modules;
  }

  private sitesOf(process: number): Map<number, number> {
    let sites = this.sites.get(process);
    if (sites === undefined) {
      sites = new Map();
      this.sites.set(process, sites);
    }
    return sites;
  }
}
