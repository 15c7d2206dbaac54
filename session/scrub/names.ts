// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';

/** What a machine calls its devices is the same everywhere; other paths are somebody's. */
const COMMON =
  /^(?:\/dev\/(?:vfio(?:\/[\w/-]*|\d+)?|iommu|uiommu|kvm)|\/sys\/[\w./:-]*|\/proc\/(?:self|\d+)\/pagemap|anon_inode:\[?[\w-]+\]?|netlink:generic)$/;
const BDF = /[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/gi;
const ONLY_BDF = new RegExp(`^${BDF.source}$`, 'i');

/** The path of a device, of sysfs, or a device's name; `''` for any other. */
export function commonPath(path: string): string {
  // What climbs out of /sys is not of /sys.
  const climbs = path.split('/').includes('..');
  return !climbs && (COMMON.test(path) || ONLY_BDF.test(path)) ? path : '';
}

/** The addresses of PCI devices in a word; all else may be a file, a user, a secret. */
export function addressesIn(word: string): readonly string[] {
  return word.match(BDF) ?? [];
}

/** Where distributions put what they bring. */
const DISTRIBUTED = /^\/(?:usr\/(?!local\/)|s?bin\/|lib(?:32|64|x32)?\/)/;

/** Of a program or library that no distribution brought the last part of its path, by which `--symbols` finds it again. */
export function fileName(path: string): string {
  return DISTRIBUTED.test(path) ? path : basename(path);
}
