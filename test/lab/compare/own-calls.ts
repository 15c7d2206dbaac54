// SPDX-License-Identifier: Apache-2.0

/**
 * What the shim asks the kernel for itself, of the calls that strace is told to show. This is the published list: these are
 * subtracted before what strace saw is compared with the trace, and a call from inside the shim that fits none of them is an
 * error. Each is made by an instruction of the shim's own; what it forwards goes through libc, and is compared.
 */
const places: readonly { readonly pattern: RegExp; readonly name: string }[] = [
  { pattern: /\/vfiotape-[^/]+(\/[^/]+)?$/, name: 'files of the session (control, rings, process table)' },
  {
    pattern: /^\/proc\/(self|\d+)\/(fd|fdinfo|cmdline|maps|exe|comm|stat|status|task)(\/.*)?$/,
    name: 'its own process in /proc',
  },
  { pattern: /^\/sys\//, name: 'the device in sysfs' },
];

/** The published entry that a call of the shim falls under; undefined: none. `path` is what it was made on. */
export function ownCall(name: string, path: string, anonymous: boolean): string | undefined {
  if (name === 'munmap' || (name === 'mmap' && anonymous)) return `${name}: working memory`;
  const place = places.find(({ pattern }) => pattern.test(path));
  return place === undefined ? undefined : `${name}: ${place.name}`;
}
