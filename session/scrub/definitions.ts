// SPDX-License-Identifier: Apache-2.0
import { ConfigSpace } from '../../abi/pci/config-space.js';
import type { Definitions } from '../../traces/model.js';
import type { DefinitionMaps } from '../../traces/reader.js';
import type { Scrubber } from './scrubber.js';

/** Build-ids and offsets stay: whoever has the driver's binary names its call sites as before. */
export function scrubbedDefinitions(definitions: DefinitionMaps, scrubber: Scrubber): Definitions {
  const { processes, threads, objects, modules, sites, devices, mmioSites } = definitions;
  return {
    processes: [...processes.values()].map((process) => ({
      ...process,
      exe: scrubber.program(process.exe),
      argv: scrubber.words(process.argv),
    })),
    threads: [...threads.values()].map((thread) => ({
      ...thread,
      name: scrubber.thread(thread.name, processes.get(thread.process)?.exe ?? ''),
    })),
    objects: [...objects.values()].map((object) => ({ ...object, path: scrubber.path(object.path) })),
    modules: [...modules.values()].map((module) => {
      const start = scrubber.addresses.move(module.start);
      return {
        ...module,
        start,
        end: start + (module.end - module.start),
        path: scrubber.program(module.path),
      };
    }),
    sites: [...sites.values()].map((site) => ({ ...site, address: scrubber.addresses.move(site.address) })),
    devices: [...devices.values()].map((device) => ({
      ...device,
      config: scrubber.config(device.config, new ConfigSpace(device.config).lookup),
    })),
    mmioSites: [...mmioSites.values()],
  };
}
