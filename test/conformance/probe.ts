// SPDX-License-Identifier: Apache-2.0
/** The questions that were put to real kernels, put to the simulated one: same actions, same order, same words. */
import { infoCapabilities } from '../../abi/vfio/capability-chain.js';
import { EXTENSIONS } from '../../abi/vfio/container.js';
import { DEVICE_INFO } from '../../abi/vfio/device-info.js';
import { GROUP_STATUS, SET_CONTAINER } from '../../abi/vfio/group.js';
import { IRQ_INFO } from '../../abi/vfio/irqs.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { DMA_MAP } from '../../abi/vfio/type1.js';
import type { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import { answer, hex, LocalDriver } from '../../replayer/kernel/local-driver.js';
import type { LocalProcess } from '../../replayer/kernel/local-process.js';
import type { Answers } from './answers.js';
import type { Probe, Region } from './context.js';
import { probeBars } from './probe-bars.js';
import { probeConfig } from './probe-config.js';
import { probeDma } from './probe-dma.js';
import { probeEdu } from './probe-edu.js';
import { probeInterrupts } from './probe-interrupts.js';
import { probeMiscellaneous } from './probe-miscellaneous.js';

export function probe(kernel: SimulatedKernel, process: LocalProcess): Answers {
  const answers = new Map<string, string>();
  const report = (action: string, text: string) => {
    answers.set(action, text);
  };
  const driver = new LocalDriver(kernel, process);
  const [vfio] = kernel.devices;
  if (vfio === undefined) throw new Error('there is no device to probe');
  const noiommu = vfio.group.hardware === undefined;
  const { container, device } = openDevice(driver, vfio.name, noiommu, report);
  const regions = probeInfo(driver, device, report);
  const irqCounts = probeIrqInfo(driver, device, report);
  const bar = regions.findIndex(({ flags }) => (flags & 4) !== 0);
  const physical = vfio.core.pci;
  const all: Probe = {
    kernel,
    driver,
    container,
    device,
    regions,
    irqCounts,
    physical,
    bar,
    noiommu,
    report,
  };
  probeConfig(all);
  probeBars(all);
  probeInterrupts(all);
  probeMiscellaneous(all);
  if (!noiommu) probeDma(all);
  if (physical.vendor === 0x1234) probeEdu(all);
  return answers;
}

function openDevice(driver: LocalDriver, name: string, noiommu: boolean, report: Probe['report']) {
  const { kernel } = driver;
  const container = driver.open('/dev/vfio/vfio');
  report('VFIO_GET_API_VERSION', answer(driver.ioctlValue(container, 'VFIO_GET_API_VERSION')));
  const extensions = {
    TYPE1_IOMMU: 1,
    TYPE1v2: 3,
    DMA_CC: 4,
    'NESTING(6)': 6,
    NOIOMMU: 8,
    UNMAP_ALL: 9,
    'UPDATE_VADDR(10)': 10,
  };
  for (const [word, extension] of Object.entries(extensions)) {
    const result = driver.ioctlValue(container, 'VFIO_CHECK_EXTENSION', extension);
    report(`CHECK_EXTENSION ${word} before any group`, answer(result));
  }
  const { TYPE1v2_IOMMU, NOIOMMU_IOMMU } = EXTENSIONS.values;
  const type1 = driver.ioctlValue(container, 'VFIO_SET_IOMMU', TYPE1v2_IOMMU);
  report('SET_IOMMU(TYPE1v2) with no group attached', answer(type1));
  const early = driver.ioctl(container, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, { flags: 3, size: 4096n });
  report('IOMMU MAP_DMA before SET_IOMMU', answer(early.result));

  const path = kernel.nodes.find((node) => /^\/dev\/vfio\/(noiommu-)?\d+$/.test(node)) ?? '';
  const group = driver.open(path);
  report('open group', group < 0 ? answer(group) : path);
  report('open the same group a second time', answer(driver.open(path)));
  const status = () => hex(driver.ioctl(group, 'VFIO_GROUP_GET_STATUS', GROUP_STATUS, {}).values.flags);
  const getDevice = (text: string) =>
    driver.ioctlBytes(group, 'VFIO_GROUP_GET_DEVICE_FD', new TextEncoder().encode(`${text}\0`));
  const setContainer = () =>
    driver.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', SET_CONTAINER, { fd: container }).result;
  report('GROUP_GET_STATUS flags before SET_CONTAINER', status());
  report('GROUP_GET_DEVICE_FD before SET_CONTAINER', answer(getDevice(name)));
  report('GROUP_SET_CONTAINER', answer(setContainer()));
  report('GROUP_SET_CONTAINER again', answer(setContainer()));
  report('GROUP_GET_DEVICE_FD before SET_IOMMU', answer(getDevice(name)));
  report('SET_IOMMU(99)', answer(driver.ioctlValue(container, 'VFIO_SET_IOMMU', 99)));
  const iommu = noiommu ? NOIOMMU_IOMMU : TYPE1v2_IOMMU;
  report('SET_IOMMU', answer(driver.ioctlValue(container, 'VFIO_SET_IOMMU', iommu)));
  report('GROUP_GET_STATUS flags after', status());
  report('GROUP_GET_DEVICE_FD bad name', answer(getDevice('0000:ff:1f.7')));
  const device = getDevice(name);
  report('GROUP_GET_DEVICE_FD', device < 0 ? answer(device) : 'ok');
  const second = getDevice(name);
  report(
    'GROUP_GET_DEVICE_FD a second time for the same device',
    second < 0 ? answer(second) : 'ok (second fd)',
  );
  if (second >= 0) driver.close(second);
  return { container, device };
}

function probeInfo(driver: LocalDriver, device: number, report: Probe['report']): readonly Region[] {
  const info = driver.ioctl(device, 'VFIO_DEVICE_GET_INFO', DEVICE_INFO, {}, { size: 20 });
  const { flags, num_regions, num_irqs, argsz } = info.values;
  report('DEVICE_GET_INFO', `flags=${hex(flags)} regions=${num_regions} irqs=${num_irqs} argsz=${argsz}`);
  const short = driver.ioctl(device, 'VFIO_DEVICE_GET_INFO', DEVICE_INFO, { argsz: 4 });
  report('DEVICE_GET_INFO argsz=4', answer(short.result));
  const regions: Region[] = [];
  for (let index = 0; index <= num_regions; index++) {
    const word = index === num_regions ? 'index=num_regions' : String(index);
    const tail = new Uint8Array(224);
    const { result, values, bytes } = driver.ioctl(
      device,
      'VFIO_DEVICE_GET_REGION_INFO',
      REGION_INFO,
      { index },
      { tail },
    );
    if (result < 0) {
      report(`REGION_INFO ${word}`, answer(result));
      continue;
    }
    const { flags: regionFlags, size, offset, cap_offset } = values;
    const caps = infoCapabilities(bytes, (regionFlags & 8) !== 0 ? cap_offset : 0).map(
      ({ id }) => ` cap${id}`,
    );
    report(
      `REGION_INFO ${word}`,
      `size=${hex(size)} off=${hex(offset)} flags=${hex(regionFlags)}${caps.join('')}`,
    );
    regions.push({ size: Number(size), offset, flags: regionFlags });
  }
  return regions;
}

function probeIrqInfo(driver: LocalDriver, device: number, report: Probe['report']): readonly number[] {
  return ['INTx', 'MSI', 'MSIX', 'ERR', 'REQ'].map((word, index) => {
    const { result, values } = driver.ioctl(device, 'VFIO_DEVICE_GET_IRQ_INFO', IRQ_INFO, { index });
    report(
      `IRQ_INFO ${word}`,
      result < 0 ? answer(result) : `count=${values.count} flags=${hex(values.flags)}`,
    );
    return result < 0 ? 0 : values.count;
  });
}
