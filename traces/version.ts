// SPDX-License-Identifier: Apache-2.0
/** The version of the format that this program writes; FORMAT.md has the table of changes. */
export const FORMAT_MAJOR = 1;
export const FORMAT_MINOR = 3;
