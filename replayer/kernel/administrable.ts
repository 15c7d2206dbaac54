// SPDX-License-Identifier: Apache-2.0
/** A device of either VFIO. */
export interface Administrable {
  readonly name: string;
  readonly isOpen: boolean;
  /** Called when the first descriptor has been opened, and when the last one has been closed. */
  onOpened: (() => void) | undefined;
  onClosed: (() => void) | undefined;
  /** How drivers hear of it: REMOVE, or the request interrupt. */
  readonly removalMessage: string;
  /** No further opens; tells those who asked to be told, and says how many they are. */
  takeAway(): number;
}

/** What happens to a device so long after a driver has opened it first, ms. */
export interface Plans {
  readonly removeAfterMs?: number;
  readonly suspendAfterMs?: number;
}
