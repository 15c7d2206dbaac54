// SPDX-License-Identifier: Apache-2.0
import { signalName } from '../../abi/linux/signals.js';
import { EVENTFD, objectKindName, SYSFS } from '../../abi/object-kinds.js';
import { countText, escapeText, size } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import { type DeviceDefinition, EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { kindName } from '../describe/kinds.js';
import { SiteNames } from '../describe/site.js';
import { durationText } from '../describe/time.js';
import { ObjectNames } from '../object-names.js';
import type { CallSites } from '../symbols/call-sites.js';
import { dmaComparedText } from './dma-compared.js';
import { mmioWays } from './mmio-ways.js';
import type { Overview } from './overview.js';

const LISTED = 24;

/** The first of them, and how many more there are. */
function listed<T>(items: readonly T[], line: (item: T) => string): readonly string[] {
  const lines = items.slice(0, LISTED).map((item) => `  ${line(item)}`);
  return items.length > LISTED ? [...lines, `  … and ${items.length - LISTED} more`] : lines;
}

function words(command: readonly string[]): string {
  return command
    .map((word) => (word === '' || /[\s'"]/.test(word) ? `'${escapeText(word)}'` : escapeText(word)))
    .join(' ');
}

function bytesText(bytes: number): string {
  if (bytes < 10_000) return `${bytes} bytes`;
  return bytes < 10_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function endingText(trace: Trace): string {
  const endings = trace.summary?.endings ?? [];
  if (endings.length === 0) return 'not known';
  const texts = endings.map(({ process, exitStatus, signal }) => {
    const how =
      signal !== 0
        ? `killed by ${signalName(signal)}`
        : exitStatus < 0
          ? 'not known'
          : `exit status ${exitStatus}`;
    const pid = trace.definitions.processes.get(process)?.pid;
    return endings.length === 1 || pid === undefined ? how : `${how} (pid ${pid})`;
  });
  return texts.slice(0, LISTED).join(', ');
}

function deviceText(device: DeviceDefinition): string {
  const digits = (value: number, width: number) => value.toString(16).padStart(width, '0');
  const bars = device.resources
    .filter((resource) => resource.size > 0n && resource.index < 7)
    .map((resource) => `${regionName(resource.index)} ${size(resource.size)}`);
  return [
    escapeText(device.bdf),
    `${digits(device.vendor, 4)}:${digits(device.device, 4)}`,
    `class ${digits(device.classCode, 6)} rev ${digits(device.revision, 2)}`,
    ...(device.driver === '' ? [] : [escapeText(device.driver)]),
    ...(device.iommuGroup === '' ? [] : [`group ${escapeText(device.iommuGroup)}`]),
    ...(device.resetMethod === '' ? [] : [`reset ${escapeText(device.resetMethod)}`]),
    ...bars,
  ].join('  ');
}

/** How many instructions were caught in which way, and which of them not in the best one, and why. */
function mmioSites(trace: Trace, callSites: CallSites | undefined): readonly string[] {
  const names = new SiteNames(trace.definitions, callSites);
  return mmioWays(trace.definitions.mmioSites.values())
    .slice(0, LISTED)
    .flatMap(({ tier, reason, count, sites }) => [
      `  ${count}  ${reason === '' ? tier : `${tier}: ${reason}`}`,
      ...listed(sites, (site) => `  ${names.name(site, EventKind.SITE) ?? 'not known where'}`),
    ]);
}

/** Two columns: what, and how it was. */
function row(name: string, text: string): string {
  return `  ${name.padEnd(10)}  ${text}`;
}

function date(realtimeNs: bigint): string {
  const time = new Date(Number(realtimeNs / 1_000_000n));
  return Number.isNaN(time.getTime()) || realtimeNs === 0n
    ? 'at a time not known'
    : `${time.toISOString().slice(0, 19)}Z`;
}

export function overviewText(trace: Trace, overview: Overview, callSites?: CallSites): string {
  const { header, definitions, summary, clock } = trace;
  const { host, modes } = header;
  const names = new ObjectNames(definitions);
  const verdict =
    overview.gaps.length === 0 ? 'complete' : `incomplete: ${escapeText(overview.gaps[0] as string)}`;
  const objects = [...definitions.objects.values()];
  const shown = objects.filter(({ kind }) => kind !== EVENTFD && kind !== SYSFS);
  const counted = [EVENTFD, SYSFS]
    .map((kind) => [kind, objects.filter((object) => object.kind === kind).length] as const)
    .filter(([, number]) => number > 0);
  const perEvent =
    trace.size === undefined || overview.events === 0
      ? ''
      : `, ${(trace.size / overview.events).toFixed(1)} bytes an event`;
  const lines = [
    `${escapeText(trace.name)}: ${verdict}`,
    ...overview.gaps.slice(1).map((gap) => `  also: ${escapeText(gap)}`),
    row(
      'recorded',
      `${date(clock.baseRealtimeNs)}, ${durationText(overview.durationNs)}, by ${escapeText(header.recorder)}`,
    ),
    row('command', words(header.command)),
    row('ended', `${endingText(trace)}${summary === undefined ? '' : ` (${escapeText(summary.stoppedBy)})`}`),
    row(
      'host',
      escapeText(
        `${host.hostname === '' ? '' : `${host.hostname}: `}Linux ${host.kernel} ${host.machine}, ${host.os}, ${host.cpu} × ${host.cpus}`,
      ),
    ),
    row(
      'modes',
      escapeText(
        `${modes.dialect}, mmio ${modes.mmio}, dma ${modes.dma}, when full ${modes.whenFull}, ${modes.backend} backend`,
      ) + (modes.watch.length === 0 ? '' : `, watch ${escapeText(modes.watch.join(' '))}`),
    ),
    ...(overview.unwatchedMappings === 0
      ? []
      : [
          row(
            'not seen',
            `loads and stores through ${countText(overview.unwatchedMappings, 'mapping')} of device memory (mmio ${escapeText(modes.mmio)})`,
          ),
        ]),
    row(
      'size',
      `${trace.size === undefined ? 'unknown' : bytesText(trace.size)}, ${countText(overview.chunks, 'chunk')}${perEvent}`,
    ),
    row('clock', `${escapeText(clock.source)}, ${(clock.ticksPerSecond / 1e6).toFixed(3)} MHz`),
    ...(summary !== undefined && summary.waits > 0
      ? [
          row(
            'waited',
            `${countText(summary.waits, 'time')}, ${durationText(summary.waitedNs)} in all, for the recorder`,
          ),
        ]
      : []),
    ...(summary !== undefined && summary.lateEvents > 0
      ? [row('late', `${countText(summary.lateEvents, 'event')} out of order between threads`)]
      : []),
    ...section('devices', listed([...definitions.devices.values()], deviceText)),
    ...section('objects', [
      ...listed(shown, (object) => {
        const label = names.label(object.id);
        const path = escapeText(object.path);
        const where = path === '' || label.endsWith(path) ? '' : `  ${path}`;
        return `${label}${where}${object.seenBorn ? '' : '  (not seen born)'}`;
      }),
      ...counted.map(([kind, number]) => `  ${countText(number, objectKindName(kind))}`),
    ]),
    ...section(
      'processes',
      listed([...definitions.processes.values()], ({ id, pid, exe, argv }) => {
        const threads = new Set(
          [...definitions.threads.values()].filter(({ process }) => process === id).map(({ tid }) => tid),
        ).size;
        return `${pid}  ${escapeText(exe)}  ${words(argv.slice(0, 8))}${argv.length > 8 ? ' …' : ''}  (${countText(threads, 'thread')})`;
      }),
    ),
    ...(overview.dmaCompared === undefined
      ? []
      : section('dma compared', dmaComparedText(overview.dmaCompared, overview.durationNs))),
    ...section('mmio sites', mmioSites(trace, callSites)),
    `events  ${overview.events}`,
    ...[...overview.counts]
      .sort(([, a], [, b]) => b - a)
      .map(([kind, number]) => `  ${kindName(kind).padEnd(10)}  ${number}`),
  ];
  return `${lines.join('\n')}\n`;
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}
