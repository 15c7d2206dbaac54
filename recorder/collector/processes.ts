// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import {
  FD_BYTES,
  FDS_MAX,
  PROCESS_BYTES,
  PROCESS_FDS_OFFSET,
  PROCESS_MAGIC,
  ProcessField,
  processFile,
} from '../../abi/wire/record.js';
import type { ProcessEnding } from '../../traces/model.js';
import type { ProcessEvents } from './translator.js';

/** Descriptors that belong to VFIO, by what /proc/PID/fd calls them. */
const VFIO_LINK =
  /^(?:\/dev\/vfio(?:\/.*|\d+)|\/dev\/iommu|\/dev\/uiommu|anon_inode:\[?(?:vfio-device|vfio-iommufd|iommufd)\]?)$/;
/** Threads and descriptors of one process that are looked at in one scan. */
const SCAN_MAX = 65536;

export interface ProcessFile {
  readonly pid: number;
  readonly parent: number;
  /** The present image. */
  readonly process: number;
  readonly attached: boolean;
  readonly started: bigint;
  /** Inode of the namespace that the pids are of; 0n: not known. */
  readonly pidNamespace: bigint;
}

/** Reads DIR/process.PID; undefined when the shim never came up in that process. */
export function readProcessFile(directory: string, pid: number): ProcessFile | undefined {
  let fd: number;
  try {
    fd = openSync(join(directory, processFile(pid)), 'r');
  } catch {
    return undefined;
  }
  try {
    const bytes = new Uint8Array(PROCESS_BYTES);
    if (readSync(fd, bytes, 0, PROCESS_BYTES, 0) < PROCESS_BYTES) return undefined;
    const view = new DataView(bytes.buffer);
    if (view.getBigUint64(ProcessField.magic, true) !== PROCESS_MAGIC) return undefined;
    return {
      pid,
      parent: view.getUint32(ProcessField.parent, true),
      process: view.getUint32(ProcessField.process, true),
      attached: view.getUint32(ProcessField.attached, true) === 1,
      started: view.getBigUint64(ProcessField.started, true),
      pidNamespace: view.getBigUint64(ProcessField.pidNamespace, true),
    };
  } finally {
    closeSync(fd);
  }
}

/** The shim's entry for a descriptor: false when it never saw it. */
function isKnownDescriptor(directory: string, pid: number, fd: number): boolean {
  if (fd >= FDS_MAX) return false;
  let file: number;
  try {
    file = openSync(join(directory, processFile(pid)), 'r');
  } catch {
    return false;
  }
  try {
    const entry = new Uint8Array(FD_BYTES);
    return (
      readSync(file, entry, 0, FD_BYTES, PROCESS_FDS_OFFSET + fd * FD_BYTES) === FD_BYTES &&
      entry.some((byte) => byte !== 0)
    );
  } finally {
    closeSync(file);
  }
}

/** A thread that still can record: not gone, not a zombie. */
export function threadAlive(pid: number, tid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'latin1');
    const state = stat[stat.lastIndexOf(')') + 2];
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

function pidNamespaceOf(pid: number | 'self'): bigint {
  try {
    return BigInt(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/pid`))?.[0] ?? 0);
  } catch {
    return 0n; // Gone, or another user's.
  }
}

/** What a process or thread is called in the innermost of its pid namespaces. */
function innerPid(path: string): number | undefined {
  try {
    const inner = /^NSpid:.*?(\d+)$/m.exec(readFileSync(`${path}/status`, 'latin1'))?.[1];
    return inner === undefined ? undefined : Number(inner);
  } catch {
    return undefined;
  }
}

function names(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** A process whose threads have not all ended. */
export function processAlive(pid: number): boolean {
  return names(`/proc/${pid}/task`).some((tid) => threadAlive(pid, Number(tid)));
}

function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const tid of names(`/proc/${pid}/task`).slice(0, SCAN_MAX)) {
    try {
      const text = readFileSync(`/proc/${pid}/task/${tid}/children`, 'latin1').trim();
      if (text !== '') children.push(...text.split(' ').map(Number));
    } catch {
      // Gone, or a kernel without CONFIG_PROC_CHILDREN: then only attached processes are known.
    }
  }
  return children;
}

/** The driver, its descendants, and everything that attached to the session. */
export class ProcessWatch implements ProcessEvents {
  private readonly directory: string;
  private readonly vfioLink: RegExp;
  /** 0 until the driver runs; stays 0 in a recovery. */
  mainPid = 0;
  private readonly descendants = new Set<number>();
  private readonly attachedPids = new Set<number>();
  private readonly images = new Map<number, number>();
  private readonly endings = new Map<number, { exitStatus: number; signal: number }>();
  private readonly suspects = new Map<string, string>();
  /** VFIO descriptors that no shim saw: "pid 12 (name) fd 7 /dev/vfio/vfio". */
  readonly unseen = new Map<string, string>();

  private readonly ownNamespace = pidNamespaceOf('self');
  /** Pids here of processes of other pid namespaces, by namespace, pid there and start. */
  private readonly foreign = new Map<string, number>();

  constructor(directory: string, vfioLink: RegExp = VFIO_LINK) {
    this.directory = directory;
    this.vfioLink = vfioLink;
  }

  attached(process: number, pid: number): void {
    this.images.set(process, pid);
    this.attachedPids.add(pid);
  }

  exited(process: number, status: number): void {
    this.endings.set(process, { exitStatus: status, signal: 0 });
  }

  killed(process: number, signal: number): void {
    this.endings.set(process, { exitStatus: -1, signal });
  }

  /** Looks for new process files; cheap enough for a few times a second. */
  refresh(): void {
    for (const name of names(this.directory)) {
      const pid = /^process\.(\d+)$/.exec(name)?.[1];
      if (pid !== undefined) this.attachedPids.add(Number(pid));
    }
  }

  /** Attached processes that still run. */
  running(): number[] {
    return [...this.attachedPids].flatMap((pid) => this.hostPid(pid) ?? []).filter(processAlive);
  }

  /**
   * Processes that the shim is in and that have not attached: a forked child does so at its first call. They are known
   * by the session in their environment; asked when nothing else seems to run any more.
   */
  dormant(): number[] {
    const mark = `VFIOTAPE_SESSION=${this.directory}\0`;
    return names('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return (
            readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark) &&
            readFileSync(`/proc/${pid}/maps`, 'latin1').includes('libvfiotape')
          );
        } catch {
          // Gone, or another user's.
          return false;
        }
      });
  }

  /** Whether a ring's owner can still write: its thread lives, and its image has not been replaced by an exec. */
  ownerAlive(pid: number, tid: number, process: number): boolean {
    const file = readProcessFile(this.directory, pid);
    if (this.isForeign(file) ? !this.foreignThreadAlive(pid, tid) : !threadAlive(pid, tid)) return false;
    return file === undefined || file.process <= process;
  }

  /**
   * The pid in our namespace of an attached process, which told the one that it has in its own; undefined when it is in
   * another namespace and gone.
   */
  hostPid(pid: number): number | undefined {
    const file = readProcessFile(this.directory, pid);
    if (!this.isForeign(file)) return pid;
    const key = `${file.pidNamespace}:${pid}:${file.started}`;
    const known = this.foreign.get(key);
    if (known !== undefined) return known;
    const found = names('/proc')
      .filter((name) => /^\d+$/.test(name))
      .find(
        (name) => pidNamespaceOf(Number(name)) === file.pidNamespace && innerPid(`/proc/${name}`) === pid,
      );
    if (found === undefined) return undefined;
    this.foreign.set(key, Number(found));
    return Number(found);
  }

  private isForeign(file: ProcessFile | undefined): file is ProcessFile {
    return file !== undefined && file.pidNamespace !== 0n && file.pidNamespace !== this.ownNamespace;
  }

  private foreignThreadAlive(pid: number, tid: number): boolean {
    const host = this.hostPid(pid);
    if (host === undefined) return false;
    return names(`/proc/${host}/task`).some(
      (task) => innerPid(`/proc/${host}/task/${task}`) === tid && threadAlive(host, Number(task)),
    );
  }

  /**
   * Looks through the descriptors of the driver and of all its descendants. One that no shim knows is counted when two
   * scans find it: the first may have come between an open and its entry in the table.
   */
  scan(): void {
    this.findDescendants();
    const fileOf = new Map<number, number>();
    for (const attached of this.attachedPids) fileOf.set(this.hostPid(attached) ?? attached, attached);
    for (const pid of new Set([...this.descendants, ...fileOf.keys()])) {
      for (const fd of names(`/proc/${pid}/fd`).slice(0, SCAN_MAX)) {
        let link: string;
        try {
          link = readlinkSync(`/proc/${pid}/fd/${fd}`);
        } catch {
          continue;
        }
        if (!this.vfioLink.test(link)) continue;
        const key = `${pid}:${fd}`;
        if (isKnownDescriptor(this.directory, fileOf.get(pid) ?? pid, Number(fd))) {
          this.suspects.delete(key);
        } else if (this.suspects.get(key) === link) {
          if (!this.unseen.has(key)) this.unseen.set(key, `pid ${pid}${nameOf(pid)} fd ${fd} ${link}`);
        } else {
          this.suspects.set(key, link);
        }
      }
    }
  }

  private findDescendants(): void {
    if (this.mainPid === 0) return;
    this.descendants.add(this.mainPid);
    // One that lost its parent keeps its place in the set until it is gone.
    const queue = [...this.descendants];
    for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
      for (const child of childrenOf(pid)) {
        if (this.descendants.has(child)) continue;
        this.descendants.add(child);
        queue.push(child);
      }
    }
    for (const pid of this.descendants) {
      if (pid !== this.mainPid && !processAlive(pid)) this.descendants.delete(pid);
    }
  }

  /** How each image ended. An image that an exec replaced has no ending of its own. */
  endingsWith(main: { exitStatus: number; signal: number } | undefined): ProcessEnding[] {
    const last = new Map<number, number>();
    for (const [process, pid] of this.images) last.set(pid, Math.max(process, last.get(pid) ?? 0));
    const found: ProcessEnding[] = [];
    for (const [pid, process] of last) {
      const ending = pid === this.mainPid && main !== undefined ? main : this.endings.get(process);
      if (ending !== undefined) found.push({ process, ...ending });
      else if (!processAlive(this.hostPid(pid) ?? 0)) found.push({ process, exitStatus: -1, signal: 0 });
    }
    return found.sort((a, b) => a.process - b.process);
  }
}

function nameOf(pid: number): string {
  try {
    return ` (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
  } catch {
    return '';
  }
}
