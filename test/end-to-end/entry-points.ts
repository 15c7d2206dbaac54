// SPDX-License-Identifier: Apache-2.0

/**
 * The functions of libc through which a driver can reach VFIO, a BAR or an interrupt, by their plain names: `open`
 * stands for open64, __open_2 and __open64_2 as well. A driver that imports one of them is recorded completely only
 * when the shim wraps that very symbol.
 */
const TOUCHING: ReadonlySet<string> = new Set(
  [
    'open openat openat2 creat fopen freopen close close_range closefrom',
    'dup dup2 dup3 fcntl pidfd_getfd ioctl',
    'read pread readv preadv preadv2 write pwrite writev pwritev pwritev2 lseek',
    'sendfile splice tee vmsplice copy_file_range aio_read aio_write lio_listio',
    'mmap munmap mremap mprotect pkey_mprotect madvise process_madvise posix_madvise remap_file_pages',
    'eventfd eventfd_read eventfd_write',
    'poll ppoll select pselect epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2',
    'socket bind connect getsockname getpeername getsockopt setsockopt send sendto recv recvfrom',
    'sendmsg sendmmsg recvmsg recvmmsg',
    'fork vfork clone posix_spawn posix_spawnp daemon forkpty system popen',
    'execv execve execvp execvpe execl execle execlp fexecve execveat',
    '_exit _Exit quick_exit syscall',
    // What reads or tells a path: on a simulated machine those of devices lead elsewhere.
    'stat lstat fstat fstatat statx statfs fstatfs statvfs fstatvfs access eaccess euidaccess faccessat',
    '__xstat __lxstat __fxstat __fxstatat readlink readlinkat realpath canonicalize_file_name',
    'opendir fdopendir scandir scandirat glob ftw nftw fts_open chdir fchdir getcwd get_current_dir_name getwd',
    'inotify_add_watch fanotify_mark name_to_handle_at open_by_handle_at open_tree',
    'mkdir mkdirat mknod mknodat unlink unlinkat rmdir rename renameat renameat2 link linkat symlink symlinkat remove',
    'chmod fchmodat chown lchown fchownat truncate utime utimes lutimes futimesat utimensat mkfifo mkfifoat',
    'getxattr lgetxattr listxattr llistxattr setxattr pathconf chroot pivot_root mount umount umount2 acct swapon',
  ].flatMap((line) => line.split(' ')),
);

/** Touching entry points that the shim leaves alone, each with the reason why nothing is lost by that. */
export const LEFT_ALONE: Readonly<Record<string, string>> = {
  copy_file_range: 'between regular files only (vfs_copy_file_range, EINVAL for anything else)',
  sendfile: 'a VFIO file has no splice_read (EINVAL), and neither has an eventfd',
  splice: 'a VFIO file has no splice_read or splice_write (EINVAL)',
  tee: 'between pipes only',
  vmsplice: 'into pipes only',
  fstatfs: 'of an open file, wherever it was opened',
  fstatvfs: 'see fstatfs',
  fdopendir: 'see fstatfs',
  fchdir: 'see fstatfs',
  fts_open:
    'the entries’ paths would have to be told otherwise at each fts_read; no known driver walks sysfs by it',
  getwd: 'older than what any driver is built with (getcwd)',
  fanotify_mark: 'needs what a simulated machine is there to do without: root',
  name_to_handle_at: 'sysfs has no file handles',
  open_by_handle_at: 'see name_to_handle_at',
  open_tree: 'makes mounts: see mount',
  mount: 'changes the machine, not its devices; needs root',
  umount: 'see mount',
  umount2: 'see mount',
  chroot: 'see mount',
  pivot_root: 'see mount',
  acct: 'see mount',
  swapon: 'see mount',
  mkdir: 'names in sysfs, procfs and devtmpfs are made by the kernel',
  mkdirat: 'see mkdir',
  mknod: 'a node that a driver makes is the machine’s',
  mknodat: 'see mknod',
  mkfifo: 'see mkdir',
  mkfifoat: 'see mkdir',
  unlink: 'see mkdir',
  unlinkat: 'see mkdir',
  rmdir: 'see mkdir',
  remove: 'see mkdir',
  rename: 'see mkdir',
  renameat: 'see mkdir',
  renameat2: 'see mkdir',
  link: 'see mkdir',
  linkat: 'see mkdir',
  symlink: 'see mkdir',
  symlinkat: 'see mkdir',
  chmod: 'who may do what on a simulated machine is not the driver’s to change',
  fchmodat: 'see chmod',
  chown: 'see chmod',
  lchown: 'see chmod',
  fchownat: 'see chmod',
  truncate: 'sysfs files have no length that could be changed',
  utime: 'no driver reads times of sysfs',
  utimes: 'see utime',
  lutimes: 'see utime',
  futimesat: 'see utime',
  utimensat: 'see utime',
  setxattr: 'sysfs and devtmpfs have none but security labels',
  pathconf: 'the same for all file systems of the kernel’s own',
  forkpty: 'forks inside libc: the child finds no ring, since they are not inherited, and claims its own',
  system: 'starts a shell: LD_PRELOAD brings the shim into it, as into all that it starts',
  popen: 'see system',
  pkey_mprotect: 'changes who may touch a mapping, not what is mapped; no known driver gives a BAR a key',
  process_madvise: 'advice for another process’s memory',
  remap_file_pages: 'an emulation by mmap since Linux 4.0, for regular files on tmpfs',
  aio_read:
    'libc does it in a thread of its own by calls that no preloaded library sees; no known driver does that to a device',
  aio_write: 'see aio_read',
  lio_listio: 'see aio_read',
};

/** `__pread64_chk` is pread, `__open64_2` open; `_exit` and `__clone` keep what is theirs. */
export function plainName(symbol: string): string {
  if (TOUCHING.has(symbol)) return symbol;
  return symbol
    .replace(/^__(?:GI_|libc_)?/, '')
    .replace(/_chk$/, '')
    .replace(/^(open|openat)(64)?_2$/, '$1')
    .replace(/64v2$/, '2')
    .replace(/64$/, '');
}

export function canTouchVfio(symbol: string): boolean {
  return TOUCHING.has(plainName(symbol));
}
