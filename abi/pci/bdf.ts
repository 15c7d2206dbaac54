// SPDX-License-Identifier: Apache-2.0

/** domain:bus:device.function, as sysfs and lspci -D write it. */
export function bdf(segment: number, bus: number, devfn: number): string {
  const digits = (value: number, width: number) => value.toString(16).padStart(width, '0');
  return `${digits(segment, 4)}:${digits(bus, 2)}:${digits(devfn >> 3, 2)}.${devfn & 7}`;
}
