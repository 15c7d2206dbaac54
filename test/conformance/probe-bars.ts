// SPDX-License-Identifier: Apache-2.0

import { answer, hex, littleEndian, number } from '../../replayer/kernel/local-driver.js';
import type { Mapping } from '../../replayer/kernel/process.js';
import type { Probe, Region } from './context.js';

/** BARs by mmap and by pread, with memory decode off, asleep, and the ROM. */
export function probeBars(probe: Probe): void {
  const { driver, device, regions, bar, report } = probe;
  const { offset, size } = regions[bar] as Region;
  const config = regions[7] as Region;
  const map = (at: bigint, length: bigint, shared = true) =>
    driver.mmap(device, { offset: at, length, shared });
  const outcome = (mapping: Mapping | number): string => {
    if (typeof mapping === 'number') return answer(mapping);
    mapping.unmap();
    return 'ok';
  };
  report('mmap BAR shared rw', outcome(map(offset, 4096n)));
  report('mmap BAR MAP_PRIVATE', outcome(map(offset, 4096n, false)));
  const past = outcome(map(offset, BigInt(size) + 4096n));
  report('mmap one page past the end of BAR', `${past} (BAR size ${hex(size)})`);
  // The kernel does not look at PROT_EXEC.
  report('mmap BAR PROT_EXEC', outcome(map(offset, 4096n)));
  report('mmap config region', outcome(map(config.offset, 4096n)));
  const io = regions.findIndex(
    ({ flags, size: bytes }, index) => index < 6 && bytes > 0 && (flags & 4) === 0,
  );
  if (io >= 0) {
    const port = (regions[io] as Region).offset;
    report('mmap an I/O-port BAR', `${outcome(map(port, 4096n))} (BAR${io})`);
    report('pread 4 from I/O BAR', answer(driver.pread(device, port, 4).result));
  }
  const pread = (at: number, count: number) =>
    answer(driver.pread(device, offset + BigInt(at), count).result);
  report('pread 4 BAR', pread(0, 4));
  report('pread 8 BAR', pread(0, 8));
  report('pread 3 BAR @1', pread(1, 3));
  report('pread 4 at BAR end', pread(size, 4));
  report('pread 8 crossing BAR end', pread(size - 4, 8));
  report('pread 256 BAR', pread(0, 256));

  const mapping = map(offset, 4096n);
  if (typeof mapping === 'number') return;
  const load = () => {
    const value = mapping.load(0, 4);
    return value === undefined ? 'SIGBUS' : hex(value, 8);
  };
  const configAt = (at: number) => config.offset + BigInt(at);
  const read = (at: number, width: number) => number(driver.pread(device, configAt(at), width).bytes);
  const write = (at: number, width: number, value: number) =>
    driver.pwrite(device, configAt(at), littleEndian(value, width));
  report('MMIO load BAR+0 with MEM enabled', load());
  const command = read(4, 2);
  write(4, 2, command & ~2);
  report('MMIO load with COMMAND.MEM cleared', load());
  report('pread BAR with COMMAND.MEM cleared', pread(0, 4));
  write(4, 2, command);
  report('MMIO load, MEM set again (same mapping)', load());
  let pm = 0;
  for (let next = read(0x34, 1); next !== 0; next = read(next + 1, 1)) if (read(next, 1) === 1) pm = next;
  if (pm !== 0) {
    const state = read(pm + 4, 2);
    write(pm + 4, 2, state | 3);
    report('PM: write D3hot', `PMCSR ${hex(state, 4)} -> ${hex(read(pm + 4, 2), 4)}`);
    report('MMIO load in D3hot', load());
    report('pread BAR in D3hot', pread(0, 4));
    write(pm + 4, 2, state & ~3);
    report('PM: back to D0', `PMCSR ${hex(read(pm + 4, 2), 4)} COMMAND ${hex(read(4, 2), 4)}`);
  }
  mapping.unmap();
  const rom = regions[6] as Region;
  if (rom.size === 0) return;
  const signature = driver.pread(device, rom.offset, 2);
  report('pread ROM', `${answer(signature.result)}  val ${number(signature.bytes).toString(16)}`);
  report('pwrite ROM', answer(driver.pwrite(device, rom.offset, littleEndian(0, 2))));
}
