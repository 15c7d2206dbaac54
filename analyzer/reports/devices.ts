// SPDX-License-Identifier: Apache-2.0
/** Which devices the session was about, and whether their MSI-X layout lets a kernel protect it. */
import { isDevice } from '../../abi/object-kinds.js';
import { ConfigSpace } from '../../abi/pci/config-space.js';
import { hex } from '../../abi/text.js';
import { BAR_COUNT, regionName } from '../../abi/vfio/regions.js';
import { ObjectNames } from '../../session/object-names.js';
import type { Trace } from '../../traces/reader.js';
import type { CheckResult } from '../check/finding.js';
import { type InBar, MSIX, msixOf } from '../rules/msi/structures.js';
import type { ReportedDevice, ReportedStructure } from './model.js';

const PAGE = 4096;

export function reportDevices(trace: Trace, result: CheckResult): readonly ReportedDevice[] {
  const { definitions } = trace;
  const names = new ObjectNames(definitions);
  const layout = result.verdicts.find(({ rule }) => rule.id === 'MSI-006');
  const devices: ReportedDevice[] = [];
  const seen = new Set<number>();
  for (const { id, kind, device } of definitions.objects.values()) {
    if (!isDevice(kind) || seen.has(device)) continue;
    seen.add(device);
    const known = definitions.devices.get(device);
    const lives = result.devices.filter((life) => definitions.objects.get(life.id)?.device === device);
    const config = lives.at(-1)?.state.config ?? new ConfigSpace(known?.config);
    const msix = msixOf(config);
    const bad = layout?.findings.some(({ bdf }) => bdf !== '' && bdf === known?.bdf) ?? false;
    const judged = layout?.status === 'pass' || layout?.status === 'note';
    devices.push({
      object: names.name(id),
      bdf: known?.bdf ?? '',
      vendor: known?.vendor ?? 0,
      device: known?.device ?? 0,
      subsystem_vendor: known?.subsystemVendor ?? 0,
      subsystem_device: known?.subsystemDevice ?? 0,
      class_code: known?.classCode ?? 0,
      revision: known?.revision ?? 0,
      kernel_driver: known?.driver ?? '',
      iommu_group: known?.iommuGroup ?? '',
      reset_method: known?.resetMethod ?? '',
      bars: (known?.resources ?? [])
        .filter(({ index, size }) => index <= BAR_COUNT && size > 0n)
        .map(({ index, size }) => ({ name: regionName(index), size: hex(size) })),
      ...(msix !== undefined && {
        msix: { vectors: msix.vectors, table: structure(msix.table), pba: structure(msix.pba) },
      }),
      opens: lives.length,
      resets: lives.flatMap(({ resets }) => resets.map(({ how }) => how)),
      well_behaved: bad
        ? 'no'
        : lacksMsix(config)
          ? 'no MSI-X'
          : judged && msix !== undefined
            ? 'yes'
            : 'unknown',
    });
  }
  return devices;
}

function structure({ bar, start, end }: InBar): ReportedStructure {
  return { bar, offset: start, bytes: end - start, page_aligned: start % PAGE === 0 };
}

const STATUS = 0x06;
const CAPABILITIES = 0x34;

/** Its capabilities were seen, and MSI-X is none of them. */
function lacksMsix(config: ConfigSpace): boolean {
  const seen = config.isKnown(STATUS, 2) && config.isKnown(CAPABILITIES);
  return seen && config.capability(MSIX) === undefined;
}
