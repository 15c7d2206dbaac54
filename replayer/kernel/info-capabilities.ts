// SPDX-License-Identifier: Apache-2.0
/** Capability chains behind an info structure, and argsz when there is no room for them (vfio_info_cap_add). */
import { encode } from '../../abi/layout.js';
import { INFO_CAP_HEADER } from '../../abi/vfio/capability-chain.js';

export interface InfoCapability {
  readonly id: number;
  readonly body: Uint8Array;
}

/** The chain as it lies from offset `at` on; each capability begins at a multiple of eight, since Linux 6.6. */
export function capabilityChain(
  capabilities: readonly InfoCapability[],
  at: number,
  alignment: 4 | 8 = 8,
): Uint8Array {
  const sizes = capabilities.map(
    ({ body }) => Math.ceil((INFO_CAP_HEADER.size + body.length) / alignment) * alignment,
  );
  const chain = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let offset = 0;
  capabilities.forEach(({ id, body }, i) => {
    const size = sizes[i] as number;
    const next = i + 1 < capabilities.length ? at + offset + size : 0;
    chain.set(encode(INFO_CAP_HEADER, { id, version: 1, next }), offset);
    chain.set(body, offset + INFO_CAP_HEADER.size);
    offset += size;
  });
  return chain;
}
