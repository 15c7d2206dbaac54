// SPDX-License-Identifier: Apache-2.0
/** Where the file that was mapped, and the debug information that was split off it, may be by now. */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { bytesInMemory, openBytes } from './byte-source.js';
import { ElfFile, nameIn } from './elf.js';

export interface FoundFile {
  readonly path: string;
  readonly elf: ElfFile;
}

export interface SearchPlaces {
  /** Directories that the user named. */
  readonly directories: readonly string[];
  /** Where distributions keep split debug information. */
  readonly debugDirectories: readonly string[];
}

export type Search =
  | { readonly binary: FoundFile | undefined; readonly debug: FoundFile | undefined }
  /** There is a file at the place, but another one. */
  | 'changed'
  | 'absent';

const DELETED = ' (deleted)';

/** `.build-id/xx/yyyy`, as gdb looks for it. */
function buildIdPath(buildId: string): string {
  return join('.build-id', buildId.slice(0, 2), buildId.slice(2));
}

function openElf(path: string): FoundFile | undefined {
  const bytes = openBytes(path);
  if (bytes === undefined) return undefined;
  const elf = ElfFile.read(bytes);
  if (elf !== undefined) return { path: resolve(path), elf };
  bytes.close();
  return undefined;
}

/** The first of them with this build-id; `others`: whether there were files with another one. */
function first(
  paths: readonly string[],
  buildId: string,
  fits: (elf: ElfFile) => boolean,
): { readonly found: FoundFile | undefined; readonly others: boolean } {
  let others = false;
  for (const path of new Set(paths)) {
    const file = openElf(path);
    if (file === undefined) continue;
    if (file.elf.buildId === buildId && fits(file.elf)) return { found: file, others };
    if (file.elf.buildId !== buildId) others = true;
    file.elf.close();
  }
  return { found: undefined, others };
}

const FILES_MAX = 10_000;

/** What lies in the named directories themselves, under whatever name: paths by build-id. */
const byBuildId = new WeakMap<SearchPlaces, ReadonlyMap<string, readonly string[]>>();

function filesOf(places: SearchPlaces): ReadonlyMap<string, readonly string[]> {
  const known = byBuildId.get(places);
  if (known !== undefined) return known;
  const files = new Map<string, string[]>();
  for (const directory of places.directories) {
    for (const entry of entriesOf(directory).slice(0, FILES_MAX)) {
      const path = join(directory, entry);
      const file = openElf(path);
      const buildId = file?.elf.buildId;
      file?.elf.close();
      if (buildId === undefined) continue;
      files.set(buildId, [...(files.get(buildId) ?? []), path]);
    }
  }
  byBuildId.set(places, files);
  return files;
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map(({ name }) => name);
  } catch {
    return []; // what is named and isn't there is said elsewhere
  }
}

/** A file of a recorded process, by path and build-id: only a file with that build-id is believed. */
export function findFiles(recordedPath: string, buildId: string, places: SearchPlaces): Search {
  const path = recordedPath.endsWith(DELETED) ? recordedPath.slice(0, -DELETED.length) : recordedPath;
  const byId = buildIdPath(buildId);
  const { directories, debugDirectories } = places;
  const named = directories.flatMap((directory) => [
    join(directory, path),
    join(directory, basename(path)),
    join(directory, byId),
  ]);
  const installed = debugDirectories.map((directory) => join(directory, byId));
  const renamed = directories.length === 0 ? [] : (filesOf(places).get(buildId) ?? []);
  const binary = first([...named, path, ...installed, ...renamed], buildId, (elf) => !elf.withoutCode);

  const link = binary.found === undefined ? undefined : debugLink(binary.found.elf);
  const names = [...(link === undefined ? [] : [link]), `${basename(path)}.debug`, basename(path)];
  const beside = dirname(path);
  const debug = first(
    [
      ...directories.flatMap((directory) => [
        join(directory, `${byId}.debug`),
        ...names.flatMap((name) => [join(directory, name), join(directory, beside, name)]),
      ]),
      ...renamed,
      ...debugDirectories.map((directory) => join(directory, `${byId}.debug`)),
      ...names.flatMap((name) => [
        join(beside, name),
        join(beside, '.debug', name),
        ...debugDirectories.map((directory) => join(directory, beside, name)),
      ]),
    ],
    buildId,
    (elf) => elf.withoutCode,
  );
  if (binary.found !== undefined || debug.found !== undefined)
    return { binary: binary.found, debug: debug.found };
  return binary.others ? 'changed' : 'absent';
}

/** `.gnu_debuglink`: the name of the file with the debug information, without directories. */
function debugLink(elf: ElfFile): string | undefined {
  const section = elf.section('.gnu_debuglink');
  const content = section && section.size <= 4096 ? elf.content(section) : undefined;
  const name = content && nameIn(content, 0);
  return name === undefined || name === '' || name.includes('/') ? undefined : name;
}

const MINI_MAX = 64 << 20;

/** `.gnu_debugdata` (Fedora and its kin): an ELF file with the names of the local functions, packed by xz. */
export function miniDebugInformation(elf: ElfFile): ElfFile | undefined {
  const section = elf.section('.gnu_debugdata');
  const packed = section && section.size <= MINI_MAX ? elf.content(section) : undefined;
  if (packed === undefined) return undefined;
  const { status, stdout } = spawnSync('xz', ['--decompress', '--stdout'], {
    input: packed,
    maxBuffer: MINI_MAX,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return status === 0 ? ElfFile.read(bytesInMemory(stdout)) : undefined;
}
