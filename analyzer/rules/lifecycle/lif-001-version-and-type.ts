// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

export const LIF_001: Rule = {
  id: 'LIF-001',
  title: 'API version and IOMMU type are asked before the type is set',
  severity: 'warning',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'The number of an ioctl says nothing of the interface behind it: GET_API_VERSION does, and CHECK_EXTENSION says whether the container has the IOMMU type that SET_IOMMU asks for.',
  sources: [
    'linux/vfio.h: VFIO_GET_API_VERSION, VFIO_SET_IOMMU ("must be supported … as verified by calling CHECK_EXTENSION")',
    'Documentation/driver-api/vfio.rst',
  ],
  decided:
    'SET_IOMMU of a container on which GET_API_VERSION was not called, or CHECK_EXTENSION not for this type, or either answered no.',
  wrongWhen:
    'A program that asked one container does not ask the next; then one of its containers has the finding.',
  compliant: 'GET_API_VERSION == 0 and CHECK_EXTENSION(type) == 1, then SET_IOMMU.',
  watch: (check) => {
    interface Asked {
      version: boolean;
      readonly types: Map<bigint, boolean>;
    }
    const asked = new Map<number, Asked>();
    let ever = false;
    const of = (object: number): Asked => {
      const held = asked.get(object) ?? { version: false, types: new Map() };
      asked.set(object, held);
      return held;
    };
    return {
      ioctl: {
        VFIO_GET_API_VERSION: ({ object, event }) => {
          of(object).version = event.result === 0n;
          ever = true;
        },
        VFIO_CHECK_EXTENSION: ({ object, event }) => {
          of(object).types.set(event.value, event.result > 0n);
        },
        VFIO_SET_IOMMU: ({ object, event }) => {
          check.judged();
          const { version, types } = of(object);
          const missing = [
            ...(version || ever ? [] : ['GET_API_VERSION']),
            ...(types.get(event.value) === true ? [] : [`CHECK_EXTENSION(${event.value})`]),
          ];
          if (missing.length === 0) return;
          check.report({
            key: missing.join(' '),
            object,
            message: `SET_IOMMU(${event.value}) without ${missing.join(' and ')} before it`,
            evidence: [{ event: event.number, note: `nobody had asked: ${missing.join(', ')}` }],
          });
        },
      },
    };
  },
};
