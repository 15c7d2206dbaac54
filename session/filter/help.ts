// SPDX-License-Identifier: Apache-2.0
import { FIELDS } from './fields.js';

/** The part of `--help` that explains filter expressions. */
export const FILTER_HELP = `EXPR compares fields and joins comparisons with & (and), | (or), ! (not) and parentheses:

  kind=ioctl & result<0
  object=device0 & offset>=0x1000 & offset<8K
  op=VFIO_DEVICE_SET_IRQS | op~DMA
  time>1.5ms & time<=2ms & !(kind=load | kind=store)
  errno=EINVAL & thread=worker-1

Comparisons are = != < <= > >= for numbers, = != ~ (contains) !~ for text; case does not matter in text.
Text with spaces or operators in it goes between quotes. Fields:

${Object.entries(FIELDS)
  .map(([name, { help }]) => `  ${name.padEnd(10)}${help}`)
  .join('\n')}`;
