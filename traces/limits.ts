// SPDX-License-Identifier: Apache-2.0
/**
 * What a reader accepts, so that no number in a file decides how much memory is taken. A writer keeps to the same.
 * FORMAT.md has this table for readers in other languages.
 */

/** A packet's length. A chunk of 65536 events whose columns all need their full width is 5 MiB, and its payloads. */
export const MAX_PACKET_BYTES = 64 << 20;
/** Length of a header, definitions or summary packet: what they decode to can be 50 times as large. */
export const MAX_MESSAGE_BYTES = 1 << 20;
/** Packets that an index lists, and that a scan without one keeps. */
export const MAX_PACKETS = 1 << 20;
/** A string; longer ones are cut by the writer. */
export const MAX_STRING_BYTES = 65536;
/** Definitions of all kinds in a file. */
export const MAX_DEFINITIONS = 1 << 18;
/** Bytes of all definitions packets together. */
export const MAX_DEFINITIONS_BYTES = 32 << 20;
/** Columns of a chunk, known or not. */
export const MAX_COLUMNS = 64;
/** Shapes of a chunk. */
export const MAX_SHAPES = 65536;
/** Ring positions of a chunk. */
export const MAX_RINGS = 4096;
/** Payloads of a chunk, uncompressed and encoded. */
export const MAX_PAYLOADS_RAW_BYTES = 40 << 20;
/** Entries of Reader.damages; the last one then says that there were more. */
export const MAX_DAMAGES = 1000;
/** Trace.packet's tag and length, the sync word and the CRC with their tags. */
export const MAX_FRAME_BYTES = 1 + 5 + 9 + 5;
