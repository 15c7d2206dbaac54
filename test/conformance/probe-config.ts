// SPDX-License-Identifier: Apache-2.0

import { answer, hex, littleEndian, number } from '../../replayer/kernel/local-driver.js';
import type { Probe, Region } from './context.js';

/** Configuration space: what is virtual, what reaches the hardware, how accesses are cut. */
export function probeConfig(probe: Probe): void {
  const { driver, device, regions, physical, bar, report } = probe;
  const { offset, size } = regions[7] as Region;
  const at = (position: number) => offset + BigInt(position);
  const read = (position: number, width: number) => number(driver.pread(device, at(position), width).bytes);
  const write = (position: number, width: number, value: number) =>
    driver.pwrite(device, at(position), littleEndian(value, width));
  const preadAnswer = (position: number, count: number) =>
    answer(driver.pread(device, at(position), count).result);

  const ids = `${hex4(read(0, 2))}:${hex4(read(2, 2))}`;
  const classCode = read(9, 3).toString(16).padStart(6, '0');
  const rest = `hdr ${read(0x0e, 1).toString(16).padStart(2, '0')} intpin ${read(0x3d, 1)} intline ${read(0x3c, 1).toString(16)}`;
  report('config: vendor/device/class/hdr', `${ids} class ${classCode} ${rest}`);
  report('COMMAND as opened', hex(read(4, 2), 4));
  const vendor = read(0, 2);
  const wroteVendor = write(0, 2, 0x1234);
  report(
    'config write VENDOR_ID=0x1234',
    `pwrite=${wroteVendor} readback ${hex4(read(0, 2))} (was ${hex4(vendor)})`,
  );
  const wroteCommand = write(4, 2, read(4, 2) | 0x0006);
  report('config write COMMAND |= MEM|MASTER', `pwrite=${wroteCommand} readback ${hex(read(4, 2), 4)}`);
  const sysfs = 'config write COMMAND |= MEM|MASTER: the same seen in sysfs config (physical)';
  report(sysfs, hex(physical.read(4, 2), 4));

  const register = 0x10 + 4 * bar;
  const before = read(register, 4);
  const wroteBar = write(register, 4, 0xffff_ffff);
  const real = () => hex(physical.read(register, 4), 8);
  const sized = `pwrite=${wroteBar} readback ${hex(read(register, 4), 8)} (was ${hex(before, 8)}), physical BAR ${real()}`;
  report('config write BAR=0xffffffff', sized);
  write(register, 4, 0x1234_0000);
  report('config write BAR=0x12340000', `readback ${hex(read(register, 4), 8)}, physical ${real()}`);
  write(register, 4, before);

  const line = write(0x3c, 1, 0x55);
  report('config write INTERRUPT_LINE=0x55', `pwrite=${line} readback ${read(0x3c, 1).toString(16)}`);
  const rom = write(0x30, 4, 0xffff_ffff);
  report('config write ROM BAR=~0', `pwrite=${rom} readback ${hex(read(0x30, 4), 8)}`);
  report('pread 8 bytes config @0', preadAnswer(0, 8));
  report('pread 3 bytes config @1', preadAnswer(1, 3));
  report('pread 4 bytes config @0xfe (crosses 256)', preadAnswer(0xfe, 4));
  report('pread 4 bytes at end of config region', preadAnswer(size, 4));
  report('pread 4 @0x100 (ext. config)', preadAnswer(0x100, 4));
  report('pread region 8 (VGA)', answer(driver.pread(device, 8n << 40n, 4).result));
  report('pread region index 20', answer(driver.pread(device, 20n << 40n, 4).result));
  const plain = driver.kernel.read(driver.file(device), new Uint8Array(4));
  report('read() (not pread) on device fd', answer(plain));
  report('lseek on device fd', answer(driver.kernel.lseek(driver.file(device))));

  const found = new Map<number, number>();
  for (let next = read(0x34, 1); next !== 0 && found.size < 48; next = read(next + 1, 1))
    found.set(read(next, 1), next);
  const place = (id: number) => (found.get(id) ?? 0).toString(16);
  report('capabilities', `msi@${place(5)} msix@${place(0x11)} pm@${place(1)} pcie@${place(0x10)}`);

  const msi = found.get(5);
  if (msi !== undefined) {
    const wrote = write(msi + 4, 4, 0xfee0_1000);
    const action = 'MSI address low write 0xfee01000 via config';
    report(action, `pwrite=${wrote} readback ${hex(read(msi + 4, 4), 8)}`);
    report(`${action}: physical MSI address`, hex(physical.read(msi + 4, 4), 8));
    const flags = read(msi + 2, 2);
    const enabled = write(msi + 2, 2, flags | 1);
    const text = `pwrite=${enabled} flags ${hex(flags, 4)} -> ${hex(read(msi + 2, 2), 4)}`;
    report('MSI enable bit write via config (no SET_IRQS)', text);
  }
  const msix = found.get(0x11);
  if (msix !== undefined) {
    const flags = read(msix + 2, 2);
    const table = read(msix + 4, 4);
    const geometry = `flags ${hex(flags, 4)} table bar ${table & 7} off ${hex(table & ~7)} pba ${hex(read(msix + 8, 4))}`;
    report('MSI-X cap', geometry);
    const wrote = write(msix + 2, 2, flags | 0x8000);
    report('MSI-X enable bit write via config', `pwrite=${wrote} readback ${hex(read(msix + 2, 2), 4)}`);
    probeTable(probe, table & 7, table & ~7);
  }
}

function probeTable({ driver, device, regions, report }: Probe, bar: number, tableOffset: number): void {
  const entry = (regions[bar] as Region).offset + BigInt(tableOffset);
  const first = driver.pread(device, entry, 4);
  report('pread 4 of MSI-X table entry 0', answer(first.result));
  report('pread 4 of MSI-X table entry 0: value', hex(number(first.bytes), 8));
  const wrote = driver.pwrite(device, entry, littleEndian(0x1234_5678, 4));
  report('pwrite 4 to MSI-X table entry 0', answer(wrote));
  report('pwrite 4 to MSI-X table entry 0: readback', hex(number(driver.pread(device, entry, 4).bytes), 8));
  const page = tableOffset & ~0xfff;
  const offset = (regions[bar] as Region).offset + BigInt(page);
  const mapping = driver.mmap(device, { offset, length: 4096n, shared: true });
  report('mmap the page with the MSI-X table', typeof mapping === 'number' ? answer(mapping) : 'ok');
  if (typeof mapping === 'number') return;
  const address = mapping.load(tableOffset - page, 4) ?? 0n;
  const control = mapping.load(tableOffset - page + 12, 4) ?? 0n;
  const action = 'mmap the page with the MSI-X table: load entry0 addr / vector control through mmap';
  report(action, `${hex(address, 8)} / ${hex(control, 8)}`);
  mapping.unmap();
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}
