// SPDX-License-Identifier: Apache-2.0
// What `npm run build` and every other script need first, on a machine that has Node and nothing else of ours.
// Plain JavaScript without dependencies: it is what installs them.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const OLDEST_NODE = [20, 19];

/** Says what is wrong in one line and gives up: the rest would only bury it. */
export function giveUp(message) {
  process.stderr.write(`vfiotape: ${message}\n`);
  process.exit(2);
}

export function say(message) {
  process.stdout.write(`· ${message}\n`);
}

/** Runs a command in the package, its output shown; the exit status is the answer. */
export function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (done.error !== undefined) giveUp(`cannot run ${command}: ${done.error.message}`);
  return done.status ?? 1;
}

/** A tool of node_modules, without the half second that npx takes. */
export function tool(name) {
  return join(root, 'node_modules', '.bin', name);
}

export function has(command) {
  return (process.env.PATH ?? '').split(':').some((directory) => existsSync(join(directory, command)));
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE;
  if (major < oldMajor || (major === oldMajor && minor < oldMinor)) {
    giveUp(
      `Node ${process.versions.node} is too old; install Node ${oldMajor}.${oldMinor} or newer (nodejs.org)`,
    );
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    giveUp(`the recorder is for Linux on x86-64; this is ${process.platform} on ${process.arch}`);
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** npm notes what it installed in node_modules; dates would lie after a checkout, so the contents are compared. */
function packagesAreCurrent() {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages ?? {};
  const present = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages ?? {};
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === '' || optional === true || present[path]?.version === version,
  );
}

function installPackages() {
  if (packagesAreCurrent()) return;
  if (!has('npm')) giveUp('npm is missing; it comes with Node (Debian: apt-get install npm)');
  say('installing packages (npm ci)');
  if (run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']) !== 0) {
    giveUp('npm ci failed, see above; a network or a registry that can be reached is needed once');
  }
}

export function cCompiler() {
  return process.env.CC ?? ['cc', 'gcc', 'clang'].find(has);
}

/** Zydis decodes the instructions that touch a BAR. Without it all else is recorded, so its lack stops nothing. */
function offerZydis() {
  if (existsSync('/usr/include/Zydis/Zydis.h') || existsSync('/usr/local/include/Zydis/Zydis.h')) return;
  const command = 'apt-get install -y --no-install-recommends libzydis-dev';
  if (process.getuid?.() === 0 && has('apt-get')) {
    say(`installing Zydis, for loads and stores to mapped BARs (${command})`);
    const quiet = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
    if (run('sh', ['-c', `${command} || { apt-get update && ${command}; }`], quiet) === 0) return;
  }
  say(`without Zydis loads and stores to mapped BARs are not recorded; as root: ${command}`);
}

function buildNative() {
  const missing = [cCompiler() === undefined ? 'gcc' : undefined, has('make') ? undefined : 'make'].filter(
    Boolean,
  );
  const headers = existsSync('/usr/include/stdio.h') ? [] : ['libc6-dev'];
  if (missing.length + headers.length > 0) {
    giveUp(
      `the shim is C and needs a compiler and make: apt-get install ${[...missing, ...headers].join(' ')}`,
    );
  }
  if (run('make', ['-s', '-C', 'recorder/shim', `CC=${cCompiler()}`]) !== 0)
    giveUp('the shim did not build, see above');
  if (run('make', ['-s', '-C', 'replayer/native', `CC=${cCompiler()}`]) !== 0)
    giveUp('the library for loads and stores did not build, see above');
}

/** The build of the shim that takes memfds of certain names for VFIO devices: for tests and the bench. */
export function buildStandIn() {
  if (run('make', ['-s', '-C', 'recorder/shim', 'standin', `CC=${cCompiler()}`]) !== 0)
    giveUp('the shim for tests did not build, see above');
}

/** Compiled files whose source is gone would still be imported, and their tests run. */
function pruneCompiled(directory) {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      pruneCompiled(path);
    } else if (/\.(js|js\.map|d\.ts)$/.test(entry.name)) {
      const source = join(root, relative(join(root, 'dist'), path)).replace(/\.(js|js\.map|d\.ts)$/, '.ts');
      if (!existsSync(source)) rmSync(path);
    }
  }
}

/** True when the types are right; the JavaScript is written in either case. */
function compile() {
  pruneCompiled(join(root, 'dist'));
  // The note of what is up to date lies in dist/, so that it goes when dist/ goes.
  const options = ['--incremental', '--tsBuildInfoFile', 'dist/.tsbuildinfo'];
  return run(tool('tsc'), ['-p', '.', ...options]) === 0;
}

/** All of it; true when the types are right. */
export function setUp() {
  checkNode();
  installPackages();
  offerZydis();
  buildNative();
  const sound = compile();
  // npm makes the command executable when it installs a package, but not in a checkout.
  const command = join(root, 'dist/cli/main.js');
  if (existsSync(command) && (statSync(command).mode & 0o111) === 0) run('chmod', ['+x', command]);
  return sound;
}

// `node setup.mjs [SCRIPT ARGS…]`: what the script needs first, then the script. Wrong types are told, and stop no measurement.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sound = setUp();
  const [script, ...args] = process.argv.slice(2);
  if (script !== undefined) {
    process.exit(run(process.execPath, ['--enable-source-maps', join(root, script), ...args]));
  }
  if (!sound) process.exit(1);
  say('built: dist/ and build/libvfiotape.so; try: node dist/cli/main.js --help');
}
