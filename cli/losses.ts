// SPDX-License-Identifier: Apache-2.0

import { formatSize } from '../abi/quantity.js';
import { countText, escapeText } from '../abi/text.js';
import { LossCause } from '../recorder/seal/summary.js';
import type { TraceLoss } from '../traces/model.js';

/** One clause for each loss. */
export function describeLosses(losses: readonly TraceLoss[]): string {
  return losses.map(describeLoss).join('; ');
}

function describeLoss({ cause, events, bytes, detail }: TraceLoss): string {
  const events_ = countText(events, 'event');
  switch (cause) {
    case LossCause.RING_FULL:
      return `${events_} while the buffer was full (a larger --buffer, or --when-full block, keeps them)`;
    case LossCause.NO_COLLECTOR:
      return `${events_} while nobody emptied the full buffer`;
    case LossCause.NO_RING:
      return `${events_} of threads that found no buffer left (a smaller --buffer makes more of them)`;
    case LossCause.SHIM:
      return `${events_} that the shim could not record`;
    case LossCause.PAYLOAD:
      return `${formatSize(bytes)} of data that went with events${detail === '' ? '' : `, ${detail}`}`;
    case LossCause.TORN:
      return `${events_} that a thread was writing when it ended`;
    case LossCause.WRITE:
      return `${events_} that could not be written (${detail})`;
    case LossCause.UNSEEN:
      return `all that was done through ${escapeText(detail)}, which the recorder did not see opened`;
    default:
      return `${events_} (${cause})`;
  }
}
