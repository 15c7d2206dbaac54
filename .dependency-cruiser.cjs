// SPDX-License-Identifier: Apache-2.0
// The room table of docs/architecture.md: rooms know only the rooms below them.

const SOURCE = '[.](ts|mjs|cjs)$';
const TESTS = '([.]test[.]ts$|^test/)';

/** What each room may import, beside itself. */
const ROOMS = {
  abi: [],
  traces: [],
  session: ['abi', 'traces'],
  recorder: ['abi', 'traces'],
  replayer: ['session', 'abi', 'traces'],
  analyzer: ['session', 'abi', 'traces'],
};
const ALL = [...Object.keys(ROOMS), 'cli', 'test', 'examples', 'scripts'];

/** One rule for each room, so that a breach is reported under the room's name. */
const rooms = Object.entries(ROOMS).map(([room, below]) => ({
  name: `${room}-imports-only-${below.join('-') || 'itself'}`,
  severity: 'error',
  from: { path: `^${room}/` },
  to: { path: `^(${ALL.filter((other) => other !== room && !below.includes(other)).join('|')})/` },
}));

module.exports = {
  forbidden: [
    ...rooms,
    {
      name: 'nothing-imports-tests',
      severity: 'error',
      from: { pathNot: TESTS },
      to: { path: TESTS },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'development-dependencies-only-in-tests',
      comment: 'Types vanish at run time: a type-only import of @types/… is no dependency.',
      severity: 'error',
      from: { pathNot: `${TESTS}|^scripts/` },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nothing imports and that is no entry point is dead.',
      severity: 'error',
      from: {
        orphan: true,
        path: SOURCE,
        pathNot: `${TESTS}|^scripts/|^examples/|[.]d[.]ts$|^[.]|(^|/)[.]`,
      },
      to: {},
    },
  ],
  options: {
    includeOnly: { path: `^(${ALL.join('|')})/|^node_modules/|^node:` },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|build)/|/fixtures/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ['import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
};
