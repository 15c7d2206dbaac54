// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { UserError } from '../../abi/user-error.js';
import { findDriver } from './inspect.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-inspect-'));
after(() => rmSync(scratch, { recursive: true }));

const SOURCE = join(scratch, 'main.c');
writeFileSync(SOURCE, 'int main(void) { return 0; }\n');
const compile = (name: string, ...flags: readonly string[]): string => {
  const path = join(scratch, name);
  execFileSync(process.env['CC'] ?? 'cc', [...flags, '-o', path, SOURCE]);
  return path;
};
const plain = compile('plain');

function file(name: string, content: string | Uint8Array, mode = 0o755): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function refuses(command: string, message: RegExp): void {
  assert.throws(
    () => findDriver(command),
    (error: unknown) =>
      error instanceof UserError && message.test(error.message) && !error.message.includes('\n'),
  );
}

/** The same program with some bytes changed. */
function patched(name: string, change: (elf: Uint8Array) => void): string {
  const elf = new Uint8Array(readFileSync(plain));
  change(elf);
  return file(name, elf);
}

describe('findDriver', () => {
  it('takes dynamically linked programs, scripts for them, and names in PATH', () => {
    assert.equal(findDriver(plain), plain);
    assert.equal(findDriver(file('script', '#!/bin/sh\nexit 0\n')), join(scratch, 'script'));
    assert.equal(findDriver(file('env-script', '#! /usr/bin/env sh\n')), join(scratch, 'env-script'));
    assert.equal(findDriver('plain', `/nonexistent:${scratch}`), plain);
    symlinkSync(plain, join(scratch, 'link'));
    assert.equal(findDriver(join(scratch, 'link')), join(scratch, 'link'));
    assert.equal(findDriver(file('no-magic', 'exit 0\n')), join(scratch, 'no-magic'));
  });

  it('refuses what is not there or is no program', () => {
    refuses(join(scratch, 'missing'), /^no such driver: /);
    refuses('vfiotape-no-such-driver', /^no driver named 'vfiotape-no-such-driver' in PATH/);
    refuses(file('text', 'hello', 0o644), /is not executable; chmod \+x it$/);
    mkdirSync(join(scratch, 'directory'));
    refuses(join(scratch, 'directory'), /is a directory/);
    refuses(
      file('orphan', '#!/no/such/interpreter -x\n'),
      /is a script for \/no\/such\/interpreter, which is not there$/,
    );
    refuses(file('loop', `#!${join(scratch, 'loop')}\n`), /is a script, too$/);
  });

  it('refuses what the shim can’t get into', (t) => {
    refuses(compile('static', '-static'), /is statically linked: nothing of it can be recorded/);
    refuses(compile('static-pie', '-static-pie'), /is statically linked/);
    refuses(
      patched('arm', (elf) => elf.set([183, 0], 18)),
      /another processor \(ELF machine 183\)/,
    );
    refuses(
      patched('small', (elf) => elf.set([1], 4)),
      /is a 32-bit program/,
    );
    const musl = (elf: Uint8Array): void => {
      const at = Buffer.from(elf).indexOf('/lib64/ld-linux-x86-64.so.2\0');
      elf.set(new TextEncoder().encode('/lib/ld-musl-x86_64.so.1\0'), at);
    };
    refuses(patched('musl', musl), /is built for musl/);
    refuses(file('static-script', `#!${join(scratch, 'static')}\n`), /is statically linked/);
    if (process.geteuid?.() !== 0) {
      t.diagnostic('setuid is tried as root only');
      return;
    }
    const setuid = compile('setuid');
    chownSync(setuid, 65534, 0);
    chmodSync(setuid, 0o4755);
    refuses(setuid, /is setuid: /);
    chownSync(setuid, 0, 65534);
    chmodSync(setuid, 0o2755);
    refuses(setuid, /is setgid: /);
    chownSync(setuid, 0, 0);
    chmodSync(setuid, 0o4755);
    assert.equal(findDriver(setuid), setuid, 'setuid to whom we are gains nothing');
  });
});
