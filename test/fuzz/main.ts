// SPDX-License-Identifier: Apache-2.0
/** `node dist/test/fuzz/main.js [CALLS] [SEED]`: a long run against the simulated kernel. */
import { KernelFuzz } from './kernel-fuzz.js';

const calls = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
const started = Date.now();
const result = new KernelFuzz(seed).run(calls);
const seconds = ((Date.now() - started) / 1000).toFixed(1);
const { succeeded, faults, dmaBytes, slowest, slowestCall } = result;
process.stdout.write(`seed ${seed}: ${result.calls} calls in ${seconds} s, ${succeeded} succeeded\n`);
process.stdout.write(`${faults} IOMMU faults, ${dmaBytes} bytes of DMA, all inside mappings\n`);
process.stdout.write(`slowest: ${slowestCall}, ${slowest.toFixed(1)} ms\n`);
