// SPDX-License-Identifier: Apache-2.0
/** `info --json`: docs/info-json.md is the promise. */
import { reasonText, tierName } from '../../abi/mmio-sites.js';
import { objectKindName } from '../../abi/object-kinds.js';
import { hex } from '../../abi/text.js';
import { EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { kindName } from '../describe/kinds.js';
import { SiteNames } from '../describe/site.js';
import { ObjectNames } from '../object-names.js';
import type { CallSites } from '../symbols/call-sites.js';
import type { Overview } from './overview.js';

export function overviewJson(
  trace: Trace,
  overview: Overview,
  callSites?: CallSites,
): Readonly<Record<string, unknown>> {
  const { header, definitions, summary, clock } = trace;
  const { host, modes } = header;
  const names = new ObjectNames(definitions);
  const sites = new SiteNames(definitions, callSites);
  return {
    file: trace.name,
    complete: overview.gaps.length === 0,
    gaps: overview.gaps,
    format: { major: header.versionMajor, minor: header.versionMinor },
    recorder: header.recorder,
    command: header.command,
    recorded_at_ns: String(clock.baseRealtimeNs),
    duration_ns: Math.round(overview.durationNs),
    stopped_by: summary?.stoppedBy ?? null,
    endings: (summary?.endings ?? []).map(({ process, exitStatus, signal }) => ({
      pid: definitions.processes.get(process)?.pid ?? null,
      exit_status: exitStatus < 0 ? null : exitStatus,
      signal: signal === 0 ? null : signal,
    })),
    host: {
      name: host.hostname,
      kernel: host.kernel,
      machine: host.machine,
      cpu: host.cpu,
      cpus: host.cpus,
      os: host.os,
      kernel_command_line: host.kernelCommandLine,
    },
    modes: {
      dialect: modes.dialect,
      mmio: modes.mmio,
      when_full: modes.whenFull,
      dma: modes.dma,
      backend: modes.backend,
      ring_bytes: modes.ringBytes,
      max_size: modes.maxSize,
      at_limit: modes.atLimit,
      duration_ns: modes.durationNs,
      watch: modes.watch,
    },
    clock: { source: clock.source, ticks_per_second: clock.ticksPerSecond },
    size_bytes: trace.size ?? null,
    chunks: overview.chunks,
    indexed: trace.indexed,
    events: overview.events,
    events_by_kind: Object.fromEntries([...overview.counts].map(([kind, count]) => [kindName(kind), count])),
    waits: summary?.waits ?? 0,
    waited_ns: summary?.waitedNs ?? 0,
    late_events: summary?.lateEvents ?? 0,
    dropped_events: summary?.droppedEvents ?? 0,
    unwatched_mappings: overview.unwatchedMappings,
    dma_compared: dmaComparedJson(overview),
    losses: (summary?.losses ?? []).map(({ cause, events, bytes, process, detail }) => ({
      cause,
      events,
      bytes,
      pid: definitions.processes.get(process)?.pid ?? null,
      detail,
    })),
    damages: trace.damages.map(({ message, firstByte, endByte, firstEvent, events }) => ({
      message,
      first_byte: firstByte,
      end_byte: endByte,
      first_event: firstEvent ?? null,
      events: events ?? null,
    })),
    devices: [...definitions.devices.values()].map((device) => ({
      bdf: device.bdf,
      vendor: device.vendor,
      device: device.device,
      class: device.classCode,
      revision: device.revision,
      subsystem_vendor: device.subsystemVendor,
      subsystem_device: device.subsystemDevice,
      driver: device.driver,
      iommu_group: device.iommuGroup,
      reset_method: device.resetMethod,
      numa_node: device.numaNode,
      resources: device.resources.map(({ index, size, flags }) => ({
        index,
        size: hex(size),
        flags: hex(flags),
      })),
    })),
    objects: [...definitions.objects.values()].map((object) => ({
      name: names.name(object.id),
      kind: objectKindName(object.kind),
      path: object.path,
      device: definitions.devices.get(object.device)?.bdf ?? null,
      parent: object.parent === 0 ? null : names.name(object.parent),
      seen_born: object.seenBorn,
    })),
    processes: [...definitions.processes.values()].map(({ id, pid, parentPid, exe, argv }) => ({
      pid,
      parent_pid: parentPid,
      exe,
      argv,
      threads: [...definitions.threads.values()]
        .filter(({ process }) => process === id)
        .map(({ tid, name }) => ({ tid, name })),
    })),
    mmio_sites: [...definitions.mmioSites.values()].map(({ site, tier, reason }) => ({
      ...sites.json(site, EventKind.SITE),
      tier: tierName(tier),
      reason: reason === 0 ? null : reasonText(reason),
    })),
  };
}

function dmaComparedJson({ dmaCompared }: Overview): unknown {
  if (dmaCompared === undefined) return null;
  const { bytesMost, comparisons, pages, ns, skipped, mapped, tracked, leftOut, byDevice, byDriver } =
    dmaCompared;
  return {
    bytes_most: bytesMost,
    comparisons,
    pages,
    ns,
    skipped,
    mappings: mapped,
    mappings_tracked: tracked,
    by_device: byDevice,
    by_driver: byDriver,
    left_out: leftOut,
  };
}
